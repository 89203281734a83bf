package terrace.sample;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** URLs by which a browser puts a file into the uploads bucket itself (S3 API, "Authenticating Requests: Using Query Parameters"). */
final class Uploads {
    static final int VALID_SECONDS = 900;
    private static final DateTimeFormatter STAMP = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);

    private final Settings settings;

    Uploads(Settings settings) {
        this.settings = settings;
    }

    Map<String, Object> begin() throws IOException {
        return link("PUT", "receipts/" + UUID.randomUUID());
    }

    /** A presigned URL for that key. */
    Map<String, Object> link(String method, String key) throws IOException {
        if (settings.uploadsBucket().isEmpty()) {
            throw new Http.Refused(503, "UPLOADS_BUCKET is not set here");
        }
        var url = presign(method, key, Credentials.ofTheInstance(), Instant.now());
        var answer = new LinkedHashMap<String, Object>();
        answer.put("key", key);
        answer.put("method", method);
        answer.put("url", url);
        answer.put("valid_seconds", VALID_SECONDS);
        return answer;
    }

    private String presign(String method, String key, Credentials keys, Instant now) {
        var own = !settings.endpoint().isEmpty();
        var base = URI.create(own
                ? settings.endpoint()
                : "https://%s.s3.%s.amazonaws.com".formatted(settings.uploadsBucket(), settings.region()));
        var path = (own ? "/" + settings.uploadsBucket() : "") + "/" + key;
        var stamp = STAMP.format(now);
        var scope = "%s/%s/s3/aws4_request".formatted(stamp.substring(0, 8), settings.region());
        var query = new TreeMap<String, String>();
        query.put("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
        query.put("X-Amz-Credential", keys.key() + "/" + scope);
        query.put("X-Amz-Date", stamp);
        query.put("X-Amz-Expires", Integer.toString(VALID_SECONDS));
        query.put("X-Amz-Security-Token", keys.token());
        query.put("X-Amz-SignedHeaders", "host");
        var encoded = query.entrySet().stream()
                .map(each -> each.getKey() + "=" + encode(each.getValue()))
                .collect(Collectors.joining("&"));
        var canonical = String.join("\n", method, path, encoded, "host:" + base.getAuthority(), "", "host", "UNSIGNED-PAYLOAD");
        var toSign = String.join("\n", "AWS4-HMAC-SHA256", stamp, scope, HexFormat.of().formatHex(sha256(canonical)));
        var signature = HexFormat.of().formatHex(hmac(signingKey(keys, stamp), toSign));
        return base + path + "?" + encoded + "&X-Amz-Signature=" + signature;
    }

    private byte[] signingKey(Credentials keys, String stamp) {
        var day = hmac(("AWS4" + keys.secret()).getBytes(StandardCharsets.UTF_8), stamp.substring(0, 8));
        return hmac(hmac(hmac(day, settings.region()), "s3"), "aws4_request");
    }

    private static String encode(String value) {
        return URLEncoder.encode(value, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    private static byte[] sha256(String text) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            var mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }
}
