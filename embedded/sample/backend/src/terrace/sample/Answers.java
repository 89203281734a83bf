package terrace.sample;

import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The questions that are answered later, by WebSocket: {"id", "question", "takes_ms"} gets {"id", "answer", "version"}.
 *
 * <p>At the end every caller is told that we go away, gets what it still waits for, and then a close frame.
 */
final class Answers {
    private static final int LONGEST_MS = 20_000;
    /** Long enough for a question that was sent before our notice was read to reach us. */
    private static final Duration AFTER_NOTICE = Duration.ofMillis(500);

    /** What a caller gets to answer our close frame (RFC 6455, 7.1.1) before it is cut. */
    private static final Duration AFTER_CLOSE = Duration.ofSeconds(2);

    private final String version;
    private final Set<Caller> callers = ConcurrentHashMap.newKeySet();
    private volatile boolean draining;

    Answers(String version) {
        this.version = version;
    }

    private record Caller(WebSocket socket, AtomicInteger pending) {}

    int open() {
        return callers.size();
    }

    /** Serves one caller until one of both has closed. */
    void serve(WebSocket socket) throws IOException {
        var caller = new Caller(socket, new AtomicInteger());
        callers.add(caller);
        try {
            if (draining) {
                farewell(caller);
            }
            for (String message; (message = socket.read()) != null; ) {
                question(caller, message);
            }
        } finally {
            callers.remove(caller);
        }
    }

    /** Returns at once; each caller's farewell goes on by itself and its connection counts as busy until then. */
    void drain() {
        draining = true;
        callers.forEach(this::farewell);
    }

    private void question(Caller caller, String message) throws IOException {
        Map<String, Object> asked;
        int takes;
        try {
            asked = Json.object(Json.read(message));
            takes = Math.clamp(((Number) asked.getOrDefault("takes_ms", 0)).longValue(), 0, LONGEST_MS);
        } catch (IllegalArgumentException | ClassCastException error) {
            caller.socket().write(Json.write(Map.of("error", "a question is {\"id\", \"question\", \"takes_ms\"}")));
            return;
        }
        caller.pending().incrementAndGet();
        Thread.ofVirtual().start(() -> {
            try {
                Thread.sleep(takes);
                var id = asked.getOrDefault("id", "");
                var answer = "about " + asked.getOrDefault("question", "nothing");
                caller.socket().write(Json.write(Map.of("id", id, "answer", answer, "version", version)));
            } catch (IOException | InterruptedException error) {
                Main.log("answer: %s", error.getMessage());
            } finally {
                caller.pending().decrementAndGet();
            }
        });
    }

    private void farewell(Caller caller) {
        Thread.ofVirtual().start(() -> {
            try {
                caller.socket().write(Json.write(Map.of("going_away", true)));
                Thread.sleep(AFTER_NOTICE);
                while (caller.pending().get() > 0) {
                    Thread.sleep(10);
                }
                caller.socket().close(WebSocket.GOING_AWAY, "this server ends; come again");
                Thread.sleep(AFTER_CLOSE);
                if (callers.contains(caller)) {
                    caller.socket().cut();
                }
            } catch (IOException | InterruptedException error) {
                Main.log("farewell: %s", error.getMessage());
            }
        });
    }
}
