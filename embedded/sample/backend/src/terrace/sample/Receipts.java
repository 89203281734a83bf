package terrace.sample;

import java.sql.Connection;
import java.sql.Date;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Receipts with their items in PostgreSQL; amounts in won. */
final class Receipts {
    private static final String COLUMNS = "id, merchant, paid_on, total_krw, upload_key, created_at";
    private static final int MOST_ITEMS = 200;

    private final Database database;

    Receipts(Database database) {
        this.database = database;
    }

    /** Keeps a receipt; the same id again changes nothing, so a caller may repeat what it is not sure of. */
    Map<String, Object> insert(Map<String, Object> given) throws SQLException {
        var id = given.containsKey("id") ? uuid(text(given, "id", "")) : UUID.randomUUID();
        var merchant = text(given, "merchant", "");
        if (merchant.isBlank() || merchant.length() > 200) {
            throw new Http.Refused(422, "merchant has 1 to 200 characters");
        }
        var items = items(given.getOrDefault("items", List.of()));
        var total = items.stream().mapToLong(Item::price).reduce(0, Math::addExact);
        var paid = date(text(given, "paid_on", LocalDate.now().toString()));
        var words = new StringBuilder(merchant);
        items.forEach(item -> words.append(' ').append(item.name()));
        return database.transact(connection -> {
            try (var insert = connection.prepareStatement("insert into receipts (id, merchant, paid_on, total_krw, "
                    + "upload_key, embedding) values (?, ?, ?, ?, ?, ?::vector) on conflict (id) do nothing")) {
                insert.setObject(1, id);
                insert.setString(2, merchant);
                insert.setDate(3, Date.valueOf(paid));
                insert.setLong(4, total);
                insert.setString(5, given.get("upload_key") instanceof String key ? key : null);
                insert.setString(6, Embedding.of(words.toString()));
                if (insert.executeUpdate() == 1) {
                    insertItems(connection, id, items);
                }
            }
            return one(connection, id);
        });
    }

    Map<String, Object> get(String id) throws SQLException {
        var key = uuid(id);
        return database.transact(connection -> one(connection, key));
    }

    List<Object> newest(int limit) throws SQLException {
        return rows("select " + COLUMNS + " from receipts order by created_at desc, id limit ?",
                statement -> statement.setInt(1, limit));
    }

    /** The receipts that read most like that one, nearest first, with their cosine distance. */
    List<Object> nearest(String id, int limit) throws SQLException {
        var key = uuid(id);
        return rows("select " + COLUMNS + ", embedding <=> (select embedding from receipts where id = ?) as distance "
                + "from receipts where id <> ? order by distance limit ?", statement -> {
            statement.setObject(1, key);
            statement.setObject(2, key);
            statement.setInt(3, limit);
        });
    }

    Map<String, Object> totals() throws SQLException {
        return Json.object(rows("select count(*) as receipts, coalesce(sum(total_krw), 0)::bigint "
                + "as total_krw from receipts", statement -> { }).get(0));
    }

    private record Item(String name, long quantity, long price) {}

    private interface Fill {
        void in(PreparedStatement statement) throws SQLException;
    }

    private List<Object> rows(String sql, Fill fill) throws SQLException {
        return database.transact(connection -> rows(connection, sql, fill));
    }

    private static List<Object> rows(Connection connection, String sql, Fill fill) throws SQLException {
        try (var statement = connection.prepareStatement(sql)) {
            fill.in(statement);
            var found = new ArrayList<Object>();
            try (var rows = statement.executeQuery()) {
                while (rows.next()) {
                    found.add(row(rows));
                }
            }
            return found;
        }
    }

    private static Map<String, Object> one(Connection connection, UUID id) throws SQLException {
        var found = rows(connection, "select " + COLUMNS + " from receipts where id = ?",
                statement -> statement.setObject(1, id));
        if (found.isEmpty()) {
            throw new Http.Refused(404, "there is no receipt " + id);
        }
        var receipt = Json.object(found.get(0));
        receipt.put("items", rows(connection, "select name, quantity, price_krw from items where receipt_id = ? "
                + "order by line", statement -> statement.setObject(1, id)));
        return receipt;
    }

    private static void insertItems(Connection connection, UUID id, List<Item> items) throws SQLException {
        try (var insert = connection.prepareStatement(
                "insert into items (receipt_id, line, name, quantity, price_krw) values (?, ?, ?, ?, ?)")) {
            for (int line = 0; line < items.size(); line++) {
                insert.setObject(1, id);
                insert.setInt(2, line + 1);
                insert.setString(3, items.get(line).name());
                insert.setLong(4, items.get(line).quantity());
                insert.setLong(5, items.get(line).price());
                insert.addBatch();
            }
            insert.executeBatch();
        }
    }

    private static Map<String, Object> row(ResultSet rows) throws SQLException {
        var about = rows.getMetaData();
        var found = new LinkedHashMap<String, Object>();
        for (int column = 1; column <= about.getColumnCount(); column++) {
            var value = rows.getObject(column);
            found.put(about.getColumnLabel(column),
                    value == null || value instanceof Number ? value : value.toString());
        }
        return found;
    }

    private static List<Item> items(Object given) {
        if (!(given instanceof List<?> list) || list.size() > MOST_ITEMS) {
            throw new Http.Refused(422, "items is a list of at most " + MOST_ITEMS);
        }
        return list.stream().map(each -> {
            try {
                var item = Json.object(each);
                var quantity = ((Number) item.getOrDefault("quantity", 1)).longValue();
                return new Item(text(item, "name", ""), quantity, ((Number) item.get("price_krw")).longValue());
            } catch (IllegalArgumentException | ClassCastException | NullPointerException error) {
                throw new Http.Refused(422, "an item is {\"name\", \"quantity\", \"price_krw\"}");
            }
        }).toList();
    }

    private static String text(Map<String, Object> given, String name, String otherwise) {
        return given.getOrDefault(name, otherwise) instanceof String text ? text : otherwise;
    }

    private static UUID uuid(String text) {
        try {
            return UUID.fromString(text);
        } catch (IllegalArgumentException error) {
            throw new Http.Refused(422, "an id is a UUID");
        }
    }

    private static LocalDate date(String text) {
        try {
            return LocalDate.parse(text);
        } catch (java.time.DateTimeException error) {
            throw new Http.Refused(422, "paid_on is a date such as 2026-11-20");
        }
    }
}
