package terrace.sample;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** HTTP/1.1 as far as a service behind Nginx needs it (RFC 9112): Content-Length bodies, keep-alive, Upgrade. */
final class Http {
    static final int MOST_HEAD_BYTES = 16 * 1024;
    static final int MOST_BODY_BYTES = 1024 * 1024;

    private Http() {}

    record Request(String method, String path, Map<String, String> query, Map<String, String> headers, byte[] body) {
        String header(String name) {
            return headers.getOrDefault(name, "");
        }

        boolean upgrades() {
            return header("upgrade").equalsIgnoreCase("websocket");
        }

        boolean closes() {
            return header("connection").equalsIgnoreCase("close");
        }
    }

    record Response(int status, Map<String, String> headers, byte[] body) {
        static Response json(int status, Object value) {
            var headers = new LinkedHashMap<String, String>();
            headers.put("Content-Type", "application/json");
            return new Response(status, headers, Json.write(value).getBytes(StandardCharsets.UTF_8));
        }

        Response with(String name, String value) {
            headers.put(name, value);
            return this;
        }
    }

    /** A request that is answered with `status` and a sentence. */
    static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;
        final int status;

        Refused(int status, String why) {
            super(why);
            this.status = status;
        }
    }

    /** The next request, or null where the caller has closed. */
    static Request read(BufferedInputStream in) throws IOException {
        var head = readHead(in);
        if (head == null) {
            return null;
        }
        var lines = head.split("\r\n");
        var first = lines[0].split(" ");
        if (first.length != 3) {
            throw new Refused(400, "the request line is not HTTP");
        }
        var headers = new LinkedHashMap<String, String>();
        for (int i = 1; i < lines.length; i++) {
            var colon = lines[i].indexOf(':');
            if (colon < 1) {
                throw new Refused(400, "a header has no colon");
            }
            headers.put(lines[i].substring(0, colon).toLowerCase(Locale.ROOT), lines[i].substring(colon + 1).strip());
        }
        if (headers.containsKey("transfer-encoding")) {
            throw new Refused(411, "say Content-Length; Nginx does");
        }
        var question = first[1].indexOf('?');
        var path = question < 0 ? first[1] : first[1].substring(0, question);
        var query = question < 0 ? Map.<String, String>of() : parameters(first[1].substring(question + 1));
        return new Request(first[0], path, query, headers, readBody(in, headers.getOrDefault("content-length", "0")));
    }

    static void write(OutputStream out, Response response, boolean close) throws IOException {
        var head = new StringBuilder("HTTP/1.1 ").append(response.status()).append(" \r\n");
        response.headers().forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        head.append("Content-Length: ").append(response.body().length).append("\r\n");
        head.append(close ? "Connection: close\r\n\r\n" : "\r\n");
        var start = head.toString().getBytes(StandardCharsets.ISO_8859_1);
        var whole = new byte[start.length + response.body().length];
        System.arraycopy(start, 0, whole, 0, start.length);
        System.arraycopy(response.body(), 0, whole, start.length, response.body().length);
        out.write(whole);
        out.flush();
    }

    private static String readHead(BufferedInputStream in) throws IOException {
        var head = new StringBuilder();
        for (int next; (next = in.read()) >= 0; ) {
            head.append((char) next);
            if (next == '\n' && head.length() >= 4 && head.substring(head.length() - 4).equals("\r\n\r\n")) {
                return head.substring(0, head.length() - 4);
            }
            if (head.length() > MOST_HEAD_BYTES) {
                throw new Refused(431, "the headers are larger than " + MOST_HEAD_BYTES + " bytes");
            }
        }
        return null;
    }

    private static byte[] readBody(BufferedInputStream in, String length) throws IOException {
        int bytes;
        try {
            bytes = Integer.parseInt(length);
        } catch (NumberFormatException error) {
            throw new Refused(400, "Content-Length is no number");
        }
        if (bytes < 0 || bytes > MOST_BODY_BYTES) {
            throw new Refused(413, "a body has at most " + MOST_BODY_BYTES + " bytes");
        }
        var body = in.readNBytes(bytes);
        if (body.length < bytes) {
            throw new IOException("the caller left in the middle of a request");
        }
        return body;
    }

    private static Map<String, String> parameters(String query) {
        var found = new LinkedHashMap<String, String>();
        for (var pair : query.split("&")) {
            var equals = pair.indexOf('=');
            var name = equals < 0 ? pair : pair.substring(0, equals);
            var value = equals < 0 ? "" : pair.substring(equals + 1);
            found.put(URLDecoder.decode(name, StandardCharsets.UTF_8), URLDecoder.decode(value, StandardCharsets.UTF_8));
        }
        return found;
    }
}
