// Measures hits of Caffeine, exactly as Sources/MemoryHits does with the memory tier.
import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CyclicBarrier;
import java.util.stream.IntStream;

public class HitLoop {
    record Entry(int number) {}

    static String copy(String key) {
        return new String(key.toCharArray());
    }

    static long pass(Cache<String, Entry> cache, String[] keys, int[] sequence, int start) {
        long sum = 0;
        for (int i = start; i < sequence.length; i++) sum += cache.getIfPresent(keys[sequence[i]]).number();
        for (int i = 0; i < start; i++) sum += cache.getIfPresent(keys[sequence[i]]).number();
        return sum;
    }

    static double measure(Cache<String, Entry> cache, String[] keys, int[] sequence, int threads, long sum)
        throws Exception {
        CyclicBarrier ready = new CyclicBarrier(threads);
        long[] nanoseconds = new long[threads];
        long[] sums = new long[threads];
        Thread[] workers = new Thread[threads];
        for (int t = 0; t < threads; t++) {
            int thread = t;
            workers[t] = new Thread(() -> {
                try { ready.await(); } catch (Exception e) { throw new RuntimeException(e); }
                long start = System.nanoTime();
                sums[thread] = pass(cache, keys, sequence, sequence.length / threads * thread);
                nanoseconds[thread] = System.nanoTime() - start;
            });
            workers[t].start();
        }
        for (Thread worker : workers) worker.join();
        if (sums[0] != sum) throw new IllegalStateException("a wrong element");
        return (double) Arrays.stream(nanoseconds).sum() / threads / sequence.length;
    }

    public static void main(String[] arguments) throws Exception {
        String[] keys = Files.readAllLines(Path.of(arguments[0])).toArray(new String[0]);
        IntBuffer numbers = ByteBuffer.wrap(Files.readAllBytes(Path.of(arguments[1])))
            .order(ByteOrder.LITTLE_ENDIAN).asIntBuffer();
        int[] sequence = new int[numbers.remaining()];
        numbers.get(sequence);
        int threads = Integer.parseInt(arguments[2]);
        boolean own = arguments[3].equals("own");
        int[] order = own ? IntStream.range(0, sequence.length).toArray() : sequence;
        String[] asked = arguments[3].equals("copies")
            ? Arrays.stream(keys).map(HitLoop::copy).toArray(String[]::new) : keys;

        Cache<String, Entry> cache = Caffeine.newBuilder().maximumSize(2L * keys.length).build();
        for (int i = 0; i < keys.length; i++) cache.put(keys[i], new Entry(i));
        long sum = Arrays.stream(sequence).asLongStream().sum();
        double best = Double.MAX_VALUE;
        for (int i = 0; i < 14; i++) {
            // New for each pass, outside the time: a string keeps its hash, which a key read from a request does not have yet.
            if (own) asked = Arrays.stream(sequence).mapToObj(key -> copy(keys[key])).toArray(String[]::new);
            best = Math.min(best, measure(cache, asked, order, threads, sum));
        }
        System.out.println(best);
    }
}
