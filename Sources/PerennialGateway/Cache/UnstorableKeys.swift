internal import NIOConcurrencyHelpers
internal import Perennial

/// Remembers for some seconds which keys gave responses that may not be stored ("hit for miss"), so that their readers
/// pass through side by side and don't queue in a flight that has nothing to share.
///
/// A key stays known for as long as requests for it are passing through, and for some seconds more each time such a
/// response has come again: who polls for long is never put into a queue by the end of that memory.
///
/// All times are of the steady clock.
struct UnstorableKeys: Sendable {
    fileprivate struct Mark {
        var until: Timestamp
        /// Requests that pass through and have no answer yet.
        var passing = 0
    }

    /// By a hash of the key: keys may be long, and two of one hash cost a request that could have been stored.
    private let marks = NIOLockedValueBox<[Int: Mark]>([:])
    private let capacity: Int
    private let duration: Duration

    /// - Parameter capacity: beyond it, keys are not remembered; their readers wait for each other, and that's all.
    init(capacity: Int = 10_000, duration: Duration) {
        self.capacity = capacity
        self.duration = duration
    }

    /// How many are remembered.
    var count: Int { marks.withLockedValue(\.count) }

    /// A response that may not be stored has come.
    /// - Parameter asked: when it was asked for. What takes long is remembered for longer, by that time.
    func insert(_ key: String, asked: Timestamp, now: Timestamp) {
        let until = now + duration + max(.zero, now - asked)
        change(key, now) { mark in
            mark = Mark(until: max(until, mark?.until ?? until), passing: mark?.passing ?? 0)
        }
    }

    func contains(_ key: String, now: Timestamp) -> Bool {
        marks.withLockedValue { marks in
            guard let mark = marks[key.hashValue] else { return false }
            if mark.isValid(at: now) { return true }
            marks[key.hashValue] = nil
            return false
        }
    }

    /// A request passes through because of what is remembered; ``leave(_:now:)`` is due.
    func enter(_ key: String, now: Timestamp) {
        change(key, now) { mark in mark = Mark(until: mark?.until ?? now, passing: (mark?.passing ?? 0) + 1) }
    }

    /// It has its answer, or none will come.
    func leave(_ key: String, now: Timestamp) {
        change(key, now) { mark in
            guard var left = mark else { return }
            left.passing = max(0, left.passing - 1)
            mark = left.isValid(at: now) ? left : nil
        }
    }

    private func change(_ key: String, _ now: Timestamp, _ body: (inout Mark?) -> Void) {
        marks.withLockedValue { marks in
            if marks.count >= capacity, marks[key.hashValue] == nil {
                marks = marks.filter { $0.value.isValid(at: now) }
                if marks.count >= capacity { return }
            }
            body(&marks[key.hashValue])
        }
    }
}

extension UnstorableKeys.Mark {
    func isValid(at now: Timestamp) -> Bool { passing > 0 || now < until }
}
