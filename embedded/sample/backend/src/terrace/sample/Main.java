package terrace.sample;

import java.nio.file.Path;
import java.time.Duration;

/** Starts the service, or with `--migrate` brings the database up to date and ends. */
public final class Main {
    private static final Duration GRACE = Duration.ofSeconds(30);

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        var settings = Settings.of(System.getenv());
        if (arguments.length == 1 && arguments[0].equals("--migrate")) {
            try (var database = new Database(settings, 1)) {
                new Migrations(database, Path.of("migrations")).run();
            }
            return;
        }
        var fault = Fault.ofThisJar();
        fault.atStart();
        var database = new Database(settings, 10);
        var api = new Api(settings, database, fault);
        var server = new Server(settings.port(), api);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            log("told to end: answering what is pending");
            api.drain();
            server.drain(GRACE);
            database.close();
            log("ended");
        }, "drain"));
        server.start();
        log("version %s on port %d", settings.version(), settings.port());
        fault.later();
    }

    static void log(String format, Object... values) {
        System.out.println(format.formatted(values));
    }
}
