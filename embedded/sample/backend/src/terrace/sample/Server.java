package terrace.sample;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** Listens on loopback, one virtual thread for each connection; drains: what is under way is answered, then it ends. */
final class Server {
    /** A caller that began to send a request just before the end gets this long to finish sending it. */
    private static final Duration LAST_CALL = Duration.ofSeconds(1);

    private static final int IDLE_MILLISECONDS = 120_000; // longer than Nginx keeps an idle connection to us (60 s)

    private final ServerSocket listening;
    private final Api api;
    private final Map<Socket, Boolean> idle = new ConcurrentHashMap<>();
    private final AtomicInteger busy = new AtomicInteger();
    private volatile boolean draining;

    Server(int port, Api api) throws IOException {
        this.api = api;
        listening = new ServerSocket();
        listening.setReuseAddress(true);
        listening.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 512);
    }

    void start() {
        Thread.ofPlatform().name("accept").start(() -> {
            while (!draining) {
                try {
                    var caller = listening.accept();
                    Thread.ofVirtual().start(() -> serve(caller));
                } catch (IOException error) {
                    if (!draining) {
                        Main.log("accept: %s", error.getMessage());
                    }
                }
            }
        });
    }

    /** Waits until nothing is under way any more, at most that long. */
    void drain(Duration most) {
        draining = true;
        var end = System.nanoTime() + most.toNanos();
        try {
            listening.close();
            Thread.sleep(LAST_CALL);
            idle.keySet().forEach(Server::close);
            while (busy.get() > 0 && System.nanoTime() < end) {
                Thread.sleep(20);
            }
        } catch (IOException | InterruptedException error) {
            Main.log("drain: %s", error.getMessage());
        }
        if (busy.get() > 0) {
            Main.log("%d requests were still under way after %d s", busy.get(), most.toSeconds());
        }
    }

    private void serve(Socket caller) {
        try (caller) {
            caller.setTcpNoDelay(true);
            caller.setSoTimeout(IDLE_MILLISECONDS);
            var in = new BufferedInputStream(caller.getInputStream());
            for (boolean goesOn = true; goesOn; ) {
                goesOn = answerNext(caller, in);
            }
        } catch (SocketTimeoutException error) {
            return; // an idle connection that nobody wants any more
        } catch (IOException error) {
            if (!draining) {
                Main.log("connection: %s", error.getMessage());
            }
        }
    }

    private boolean answerNext(Socket caller, BufferedInputStream in) throws IOException {
        idle.put(caller, true);
        in.mark(1);
        var first = in.read();
        idle.remove(caller);
        if (first < 0) {
            return false;
        }
        in.reset();
        busy.incrementAndGet();
        try {
            Http.Request request = null;
            Http.Response response;
            try {
                request = Http.read(in);
                if (request == null) {
                    return false;
                }
                if (request.upgrades()) {
                    caller.setSoTimeout(0);
                    api.webSocket(request, new WebSocket(in, caller.getOutputStream(), request));
                    return false;
                }
                response = api.answer(request);
            } catch (Http.Refused refused) {
                response = Http.Response.json(refused.status, Map.of("error", refused.getMessage()));
            }
            var close = draining || request == null || request.closes();
            Http.write(caller.getOutputStream(), response, close);
            return !close;
        } finally {
            busy.decrementAndGet();
        }
    }

    private static void close(Socket socket) {
        try {
            socket.close();
        } catch (IOException error) {
            Main.log("close: %s", error.getMessage());
        }
    }
}
