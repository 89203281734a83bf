package terrace.sample;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.zip.CRC32;

/** A text as a vector: character trigrams hashed into 64 dimensions, of length 1; alike texts lie near each other. */
final class Embedding {
    static final int DIMENSIONS = 64;

    private Embedding() {}

    /** In pgvector's own notation, `[0.1,0,…]`. */
    static String of(String text) {
        var padded = " " + text.toLowerCase(Locale.ROOT).strip() + " ";
        var counts = new double[DIMENSIONS];
        for (int i = 0; i + 3 <= padded.length(); i++) {
            var crc = new CRC32();
            crc.update(padded.substring(i, i + 3).getBytes(StandardCharsets.UTF_8));
            counts[(int) (crc.getValue() % DIMENSIONS)] += 1;
        }
        double squares = 0;
        for (var count : counts) {
            squares += count * count;
        }
        var length = squares == 0 ? 1 : Math.sqrt(squares);
        var vector = new StringBuilder("[");
        for (int i = 0; i < DIMENSIONS; i++) {
            vector.append(i == 0 ? "" : ",").append((float) (counts[i] / length));
        }
        return vector.append("]").toString();
    }
}
