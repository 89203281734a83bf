package terrace.sample;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;

/** The keys of the instance's role, by IMDSv2 (EC2 User Guide, "Use the Instance Metadata Service"). */
record Credentials(String key, String secret, String token, Instant expires) {
    private static final String IMDS = "http://169.254.169.254/latest/";
    private static final Duration BEFORE_THE_END = Duration.ofMinutes(20); // what we sign is valid that long
    private static Credentials cached;

    static synchronized Credentials ofTheInstance() throws IOException {
        if (cached == null || Instant.now().plus(BEFORE_THE_END).isAfter(cached.expires())) {
            cached = fetch();
        }
        return cached;
    }

    private static Credentials fetch() throws IOException {
        try (var client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build()) {
            var session = send(client, HttpRequest.newBuilder(URI.create(IMDS + "api/token"))
                    .header("X-aws-ec2-metadata-token-ttl-seconds", "60")
                    .method("PUT", HttpRequest.BodyPublishers.noBody()));
            var path = "meta-data/iam/security-credentials/";
            var role = get(client, session, path).strip();
            var answer = Json.object(Json.read(get(client, session, path + role)));
            return new Credentials(
                    (String) answer.get("AccessKeyId"),
                    (String) answer.get("SecretAccessKey"),
                    (String) answer.get("Token"),
                    Instant.parse((String) answer.get("Expiration")));
        }
    }

    private static String get(HttpClient client, String session, String path) throws IOException {
        return send(client, HttpRequest.newBuilder(URI.create(IMDS + path)).header("X-aws-ec2-metadata-token", session));
    }

    private static String send(HttpClient client, HttpRequest.Builder request) throws IOException {
        try {
            var answer = client.send(request.timeout(Duration.ofSeconds(5)).build(), HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IOException("the metadata service answered " + answer.statusCode());
            }
            return answer.body();
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IOException(error);
        }
    }

    @Override
    public String toString() {
        return "Credentials " + key; // never the secret
    }
}
