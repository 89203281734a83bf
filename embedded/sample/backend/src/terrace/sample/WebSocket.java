package terrace.sample;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;

/** One WebSocket, the server's side (RFC 6455): text messages in one frame, ping, close. */
final class WebSocket {
    static final int GOING_AWAY = 1001;
    private static final String GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    private static final int TEXT = 1, CLOSE = 8, PING = 9, PONG = 10;
    private static final int MOST_MESSAGE_BYTES = 64 * 1024;

    private final DataInputStream in;
    private final OutputStream out;
    private boolean closed;

    WebSocket(InputStream in, OutputStream out, Http.Request request) throws IOException {
        this.in = new DataInputStream(in);
        this.out = out;
        var key = request.header("sec-websocket-key");
        if (key.isEmpty() || !request.header("sec-websocket-version").equals("13")) {
            throw new Http.Refused(400, "a WebSocket handshake has Sec-WebSocket-Key and version 13");
        }
        out.write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: " + accept(key) + "\r\n\r\n").getBytes(StandardCharsets.ISO_8859_1));
        out.flush();
    }

    /** The next text message, or null when the other side has closed. */
    String read() throws IOException {
        while (true) {
            int first = in.read();
            if (first < 0) {
                return null;
            }
            int second = in.readUnsignedByte();
            int length = second & 0x7f;
            if (length == 126) {
                length = in.readUnsignedShort();
            } else if (length == 127) {
                throw new IOException("a message is larger than " + MOST_MESSAGE_BYTES + " bytes");
            }
            if ((second & 0x80) == 0 || (first & 0x80) == 0) {
                throw new IOException("a client's frames are masked, and whole here");
            }
            var mask = in.readNBytes(4);
            var payload = in.readNBytes(length);
            for (int i = 0; i < payload.length; i++) {
                payload[i] ^= mask[i % 4];
            }
            switch (first & 0x0f) {
                case TEXT -> {
                    return new String(payload, StandardCharsets.UTF_8);
                }
                case PING -> frame(PONG, payload);
                case CLOSE -> {
                    close(1000, "");
                    return null;
                }
                default -> { }
            }
        }
    }

    void write(String text) throws IOException {
        frame(TEXT, text.getBytes(StandardCharsets.UTF_8));
    }

    /** Sends the close frame, once; nothing is sent after it. */
    synchronized void close(int code, String reason) throws IOException {
        if (closed) {
            return;
        }
        var text = reason.getBytes(StandardCharsets.UTF_8);
        var payload = new byte[2 + text.length];
        payload[0] = (byte) (code >> 8);
        payload[1] = (byte) code;
        System.arraycopy(text, 0, payload, 2, text.length);
        frame(CLOSE, payload);
        closed = true;
    }

    /** Cuts the connection of a caller that does not answer our close frame. */
    void cut() throws IOException {
        in.close();
    }

    private synchronized void frame(int opcode, byte[] payload) throws IOException {
        if (closed) {
            return;
        }
        var small = payload.length < 126;
        var frame = new byte[(small ? 2 : 4) + payload.length];
        frame[0] = (byte) (0x80 | opcode);
        frame[1] = (byte) (small ? payload.length : 126);
        if (!small) {
            frame[2] = (byte) (payload.length >> 8);
            frame[3] = (byte) payload.length;
        }
        System.arraycopy(payload, 0, frame, frame.length - payload.length, payload.length);
        out.write(frame);
        out.flush();
    }

    private static String accept(String key) {
        try {
            var digest = MessageDigest.getInstance("SHA-1").digest((key + GUID).getBytes(StandardCharsets.US_ASCII));
            return Base64.getEncoder().encodeToString(digest);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
