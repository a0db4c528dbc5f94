import Synchronization

/// Wakes those who wait for work: counts its rings, so that a ring between looking and waiting is not missed.
package final class Doorbell: Sendable {
    private struct Status {
        var rings = 0
        var nextID = 0
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let status = Mutex(Status())

    package init() {}

    /// How often the bell has rung. Note it before looking for work, then wait for the ring after it.
    package var rings: Int { status.withLock { $0.rings } }

    /// Wakes everybody who waits.
    package func ring() {
        let woken = status.withLock { status in
            status.rings += 1
            defer { status.waiting = [:] }
            return status.waiting
        }
        for continuation in woken.values { continuation.resume() }
    }

    /// Returns when the bell has rung more than `rings` times, or when the task is cancelled.
    package func wait(after rings: Int) async {
        let id = status.withLock { status in
            status.nextID += 1
            return status.nextID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = status.withLock { status in
                    // The handler below may have run already; then the continuation must not be kept.
                    if status.rings > rings || Task.isCancelled { return true }
                    status.waiting[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            status.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
    }

    /// As ``wait(after:)``, but at most for `timeout`.
    package func wait(after rings: Int, timeout: Duration, time: any TimeSource) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait(after: rings) }
            group.addTask { try? await time.sleep(for: timeout) }
            await group.next()
            group.cancelAll()
        }
    }
}
