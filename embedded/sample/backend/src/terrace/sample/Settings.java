package terrace.sample;

import java.util.Map;

/** What the environment says: the names that the host gives every backend (SPRING_DATASOURCE_*, UPLOADS_BUCKET, …). */
record Settings(
        String version, int port, String databaseUrl, String databaseUser, String databasePassword,
        String uploadsBucket, String region, String endpoint) {

    static Settings of(Map<String, String> environment) {
        return new Settings(
                environment.getOrDefault("TERRACE_VERSION", "unreleased"),
                Integer.parseInt(environment.getOrDefault("PORT", "8080")),
                required(environment, "SPRING_DATASOURCE_URL"),
                required(environment, "SPRING_DATASOURCE_USERNAME"),
                required(environment, "SPRING_DATASOURCE_PASSWORD"),
                environment.getOrDefault("UPLOADS_BUCKET", ""),
                environment.getOrDefault("AWS_REGION", ""),
                environment.getOrDefault("AWS_ENDPOINT_URL", ""));
    }

    private static String required(Map<String, String> environment, String name) {
        var value = environment.getOrDefault(name, "");
        if (value.isEmpty()) {
            System.err.println(name + " is missing in the environment; the host writes it into app.env");
            System.exit(78); // EX_CONFIG of sysexits.h
        }
        return value;
    }

    @Override
    public String toString() {
        return "Settings of " + version; // never the password
    }
}
