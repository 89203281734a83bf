package terrace.sample;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;

/** What a release does wrong on purpose: the word in `fault` of its jar; none in a release that is sound. */
record Fault(String kind, int seconds) {
    static Fault ofThisJar() throws IOException {
        try (var file = Fault.class.getResourceAsStream("/fault")) {
            if (file == null) {
                return new Fault("", 0);
            }
            var words = new String(file.readAllBytes(), StandardCharsets.UTF_8).strip().split(" ");
            return new Fault(words[0], words.length > 1 ? Integer.parseInt(words[1]) : 0);
        }
    }

    boolean neverHealthy() {
        return kind.equals("never-healthy");
    }

    void atStart() {
        if (kind.equals("exits")) {
            System.err.println("this release exits at once, on purpose");
            System.exit(1);
        }
    }

    /** Fills the heap; the JVM ends by itself (-XX:+ExitOnOutOfMemoryError). */
    void grow() {
        var held = new ArrayList<byte[]>();
        while (kind.equals("grows")) {
            held.add(new byte[1 << 24]);
        }
    }

    void later() throws InterruptedException {
        if (kind.equals("dies")) {
            Thread.sleep(seconds * 1000L);
            System.err.println("this release dies after " + seconds + " s, on purpose");
            Runtime.getRuntime().halt(1);
        }
    }
}
