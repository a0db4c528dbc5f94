internal import NIOConcurrencyHelpers
internal import Perennial

/// Remembers for some seconds which keys gave responses that may not be stored ("hit for miss"), so that their readers
/// pass through side by side and don't queue in a flight that has nothing to share.
struct UnstorableKeys: Sendable {
    private let untilByKey = NIOLockedValueBox<[String: Timestamp]>([:])
    private let capacity: Int
    private let duration: Duration

    /// - Parameter capacity: beyond it, keys are not remembered; their readers wait for each other, and that's all.
    init(capacity: Int = 10_000, duration: Duration) {
        self.capacity = capacity
        self.duration = duration
    }

    func insert(_ key: String, now: Timestamp) {
        untilByKey.withLockedValue { keys in
            if keys.count >= capacity, keys[key] == nil {
                keys = keys.filter { now < $0.value }
                if keys.count >= capacity { return }
            }
            keys[key] = now + duration
        }
    }

    func contains(_ key: String, now: Timestamp) -> Bool {
        untilByKey.withLockedValue { keys in
            guard let until = keys[key] else { return false }
            if now < until { return true }
            keys[key] = nil
            return false
        }
    }
}
