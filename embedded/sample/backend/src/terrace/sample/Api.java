package terrace.sample;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.SQLException;
import java.util.HexFormat;
import java.util.Map;

/** What the service answers at which path. */
final class Api {
    private static final int MOST_ROWS = 100;

    private final Settings settings;
    private final Database database;
    private final Fault fault;
    private final Receipts receipts;
    private final Uploads uploads;
    private final Answers answers;
    private volatile boolean draining;

    Api(Settings settings, Database database, Fault fault) {
        this.settings = settings;
        this.database = database;
        this.fault = fault;
        receipts = new Receipts(database);
        uploads = new Uploads(settings);
        answers = new Answers(settings.version());
    }

    void drain() {
        draining = true;
        answers.drain();
    }

    void webSocket(Http.Request request, WebSocket socket) throws IOException {
        answers.serve(socket);
    }

    Http.Response answer(Http.Request request) {
        try {
            var response = route(request).with("X-Terrace-Version", settings.version());
            var user = request.header("x-user");
            // A pseudonym: Nginx counts distinct users by it, logs it, and takes it out of the answer.
            return user.isEmpty() ? response : response.with("X-Terrace-User", pseudonym(user));
        } catch (IllegalArgumentException | ArithmeticException error) {
            return error(400, error.getMessage());
        } catch (Http.Refused refused) {
            return error(refused.status, refused.getMessage());
        } catch (SQLException | IOException error) {
            Main.log("%s %s: %s", request.method(), request.path(), error.getMessage());
            return error(503, "the database or the store does not answer; try again");
        }
    }

    private Http.Response route(Http.Request request) throws SQLException, IOException {
        var parts = request.path().split("/");
        var to = request.method() + " " + (parts.length > 2 ? parts[1] + "/" + parts[2] : request.path());
        return switch (to) {
            case "GET actuator/health" -> health();
            case "GET api/version" -> Http.Response.json(200, Map.of("version", settings.version()));
            case "GET api/totals" -> Http.Response.json(200, with(receipts.totals()));
            case "POST api/receipts" -> Http.Response.json(201, with(receipts.insert(body(request))));
            case "POST api/uploads" -> Http.Response.json(201, uploads.begin());
            case "GET api/receipts" -> switch (parts.length) {
                case 3 -> Http.Response.json(200, Map.of("version", settings.version(), "receipts", receipts.newest(limit(request))));
                case 4 -> Http.Response.json(200, with(receipts.get(parts[3])));
                case 5 -> below(request, parts[3], parts[4]);
                default -> error(404, "nothing is here");
            };
            case "GET /grow" -> {
                fault.grow();
                yield error(404, "nothing is here");
            }
            default -> error(404, "nothing is here");
        };
    }

    private Http.Response below(Http.Request request, String id, String what) throws SQLException, IOException {
        return switch (what) {
            case "nearest" -> Http.Response.json(200,
                    Map.of("version", settings.version(), "receipts", receipts.nearest(id, limit(request))));
            case "upload" -> {
                if (!(receipts.get(id).get("upload_key") instanceof String key)) {
                    yield error(404, "this receipt has no upload");
                }
                yield Http.Response.json(200, uploads.link("GET", key));
            }
            default -> error(404, "nothing is here");
        };
    }

    private Http.Response health() {
        if (draining) {
            return Http.Response.json(503, Map.of("status", "OUT_OF_SERVICE"));
        }
        var up = !fault.neverHealthy() && database.answers();
        return Http.Response.json(up ? 200 : 503,
                Map.of("status", up ? "UP" : "DOWN", "version", settings.version(), "sockets", answers.open()));
    }

    private Map<String, Object> with(Map<String, Object> answer) {
        answer.put("version", settings.version());
        return answer;
    }

    private static Map<String, Object> body(Http.Request request) {
        return Json.object(Json.read(new String(request.body(), StandardCharsets.UTF_8)));
    }

    private static int limit(Http.Request request) {
        return Math.clamp(Integer.parseInt(request.query().getOrDefault("limit", "20")), 1, MOST_ROWS);
    }

    private static Http.Response error(int status, String why) {
        return Http.Response.json(status, Map.of("error", String.valueOf(why)));
    }

    private static String pseudonym(String user) {
        try {
            var digest = MessageDigest.getInstance("SHA-256").digest(user.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest, 0, 8);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
