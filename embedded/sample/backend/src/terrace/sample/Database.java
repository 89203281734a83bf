package terrace.sample;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** A pool of connections to PostgreSQL: as many as it is told, made when needed, dropped when they fail. */
final class Database implements AutoCloseable {
    private static final int WAIT_SECONDS = 30; // as HikariCP waits unless told otherwise

    private final Settings settings;
    private final Semaphore permits;
    private final ConcurrentLinkedDeque<Connection> free = new ConcurrentLinkedDeque<>();

    interface Work<T> {
        T on(Connection connection) throws SQLException;
    }

    Database(Settings settings, int most) {
        this.settings = settings;
        permits = new Semaphore(most, true);
    }

    /** Does the work in one transaction; commits unless it throws. */
    <T> T transact(Work<T> work) throws SQLException {
        try {
            if (!permits.tryAcquire(WAIT_SECONDS, TimeUnit.SECONDS)) {
                throw new SQLException("no connection became free within " + WAIT_SECONDS + " s");
            }
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new SQLException(error);
        }
        try {
            var connection = take();
            try {
                var result = work.on(connection);
                connection.commit();
                free.push(connection);
                return result;
            } catch (SQLException | RuntimeException error) {
                giveBack(connection);
                throw error;
            }
        } finally {
            permits.release();
        }
    }

    boolean answers() {
        try {
            return transact(connection -> {
                try (var statement = connection.createStatement()) {
                    return statement.executeQuery("select 1").next();
                }
            });
        } catch (SQLException error) {
            Main.log("database: %s", error.getMessage());
            return false;
        }
    }

    @Override
    public void close() {
        for (Connection each; (each = free.poll()) != null; ) {
            quietly(each);
        }
    }

    private Connection take() throws SQLException {
        for (Connection each; (each = free.poll()) != null; ) {
            if (each.isValid(2)) {
                return each;
            }
            quietly(each); // PostgreSQL was restarted since
        }
        var made = DriverManager.getConnection(
                settings.databaseUrl(), settings.databaseUser(), settings.databasePassword());
        made.setAutoCommit(false);
        return made;
    }

    private void giveBack(Connection connection) {
        try {
            connection.rollback();
            free.push(connection);
        } catch (SQLException error) {
            quietly(connection);
        }
    }

    private static void quietly(Connection connection) {
        try {
            connection.close();
        } catch (SQLException error) {
            Main.log("close: %s", error.getMessage());
        }
    }
}
