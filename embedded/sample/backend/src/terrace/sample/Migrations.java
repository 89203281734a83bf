package terrace.sample;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Brings the schema up to date: each file `V<number>__<name>.sql` once, in order, in a transaction of its own.
 *
 * <p>The release that serves meanwhile must go on to work, so a file only adds: what it takes away is taken away by a
 * later release. An applied file that changed since, or a number below the newest one, is refused.
 */
final class Migrations {
    private static final Pattern NAME = Pattern.compile("V(\\d+)__(\\w+)\\.sql");
    private static final long LOCK = 7_233_186_041L; // any number, the same for all: one migration at a time

    private final Database database;
    private final Path directory;

    private record File(int number, String name, String sql, String checksum) {}

    Migrations(Database database, Path directory) {
        this.database = database;
        this.directory = directory;
    }

    void run() throws IOException, SQLException {
        var files = files();
        database.transact(connection -> {
            execute(connection, "create table if not exists schema_history (number integer primary key, name text not "
                    + "null, checksum text not null, applied_at timestamptz not null default now())");
            return null;
        });
        for (var file : files) {
            var applied = database.transact(connection -> {
                execute(connection, "select pg_advisory_xact_lock(" + LOCK + ")");
                return apply(connection, file);
            });
            if (applied) {
                Main.log("migrated to %d (%s)", file.number(), file.name());
            }
        }
    }

    private static boolean apply(Connection connection, File file) throws SQLException {
        var known = known(connection);
        if (known.containsKey(file.number())) {
            if (!known.get(file.number()).equals(file.checksum())) {
                throw new SQLException("migration " + file.number() + " was applied with another content; "
                        + "add a new file, never change an applied one");
            }
            return false;
        }
        var newest = known.keySet().stream().mapToInt(Integer::intValue).max().orElse(0);
        if (file.number() < newest) {
            throw new SQLException("migration " + file.number() + " is older than " + newest + ", which is applied; "
                    + "give it a higher number");
        }
        execute(connection, file.sql());
        try (var insert = connection.prepareStatement(
                "insert into schema_history (number, name, checksum) values (?, ?, ?)")) {
            insert.setInt(1, file.number());
            insert.setString(2, file.name());
            insert.setString(3, file.checksum());
            insert.executeUpdate();
        }
        return true;
    }

    private static Map<Integer, String> known(Connection connection) throws SQLException {
        var found = new HashMap<Integer, String>();
        try (var statement = connection.createStatement();
                var rows = statement.executeQuery("select number, checksum from schema_history")) {
            while (rows.next()) {
                found.put(rows.getInt(1), rows.getString(2));
            }
        }
        return found;
    }

    private List<File> files() throws IOException {
        try (var listed = Files.list(directory)) {
            return listed.filter(path -> NAME.matcher(path.getFileName().toString()).matches())
                    .map(Migrations::read)
                    .sorted((one, other) -> Integer.compare(one.number(), other.number()))
                    .toList();
        }
    }

    private static File read(Path path) {
        var name = NAME.matcher(path.getFileName().toString());
        name.matches();
        try {
            var sql = Files.readString(path);
            var digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(path));
            return new File(Integer.parseInt(name.group(1)), name.group(2), sql, HexFormat.of().formatHex(digest));
        } catch (IOException | NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
