package terrace.sample;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What a release does wrong on purpose: the word in its file `backend/fault`; none in a release that is sound. */
record Fault(String kind, int seconds) {
    static Fault of(Path release) throws IOException {
        var file = release.resolve("backend/fault");
        if (!Files.exists(file)) {
            return new Fault("", 0);
        }
        var words = Files.readString(file).strip().split(" ");
        return new Fault(words[0], words.length > 1 ? Integer.parseInt(words[1]) : 0);
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

    void later() throws InterruptedException {
        if (kind.equals("dies")) {
            Thread.sleep(seconds * 1000L);
            System.err.println("this release dies after " + seconds + " s, on purpose");
            Runtime.getRuntime().halt(1);
        }
    }
}
