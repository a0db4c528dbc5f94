import PerennialTesting
import Synchronization

/// Ranks from 0, each asked for in proportion to 1 / (rank + 1).
struct Zipf {
    private let sums: [Double]

    init(keys: Int) {
        var sum = 0.0
        sums = (1...keys).map { rank in
            sum += 1 / Double(rank)
            return sum
        }
    }

    func next(using generator: inout SeededGenerator) -> Int {
        let wanted = Double.random(in: 0..<sums[sums.count - 1], using: &generator)
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] <= wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// An element that counts itself while it lives.
final class Tracked: Sendable {
    /// How many are alive.
    final class Census: Sendable {
        let alive = Atomic<Int>(0)
        var count: Int { alive.load(ordering: .sequentiallyConsistent) }
    }

    let number: Int
    private let census: Census
    private let onRelease: @Sendable () -> Void

    init(_ number: Int, _ census: Census, onRelease: @escaping @Sendable () -> Void = {}) {
        self.number = number
        self.census = census
        self.onRelease = onRelease
        census.alive.add(1, ordering: .sequentiallyConsistent)
    }

    deinit {
        census.alive.subtract(1, ordering: .sequentiallyConsistent)
        onRelease()
    }
}
