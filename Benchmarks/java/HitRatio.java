// Reads one key a line from standard input, as requests of a Caffeine cache of CAPACITY entries, as hit-ratio does.
import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.io.BufferedReader;
import java.io.InputStreamReader;

public class HitRatio {
    public static void main(String[] arguments) throws Exception {
        // On the caller's thread, so that every run has the same result.
        Cache<String, Boolean> cache = Caffeine.newBuilder()
            .maximumSize(Long.parseLong(arguments[0])).executor(Runnable::run).build();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        long requests = 0, hits = 0;
        for (String key; (key = lines.readLine()) != null; requests++) {
            if (cache.getIfPresent(key) != null) hits++; else cache.put(key, true);
        }
        System.out.println("requests " + requests + "\nhits " + hits + "\nratio " + (double) hits / requests);
    }
}
