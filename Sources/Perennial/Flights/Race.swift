/// The first of two to finish resumes the continuation.
package final class Race<Result: Sendable>: Sendable {
    private struct Progress {
        var continuation: CheckedContinuation<Result, any Error>?
        var isFinished = false
        var cleanUp: (@Sendable () -> Void)?
    }

    private let progress = Locked(Progress())

    package init() {}

    package func begin(_ continuation: CheckedContinuation<Result, any Error>) {
        progress.withLock { $0.continuation = continuation }
    }

    /// Calls `cleanUp` when the race is finished, or now if it is.
    package func onFinish(_ cleanUp: @escaping @Sendable () -> Void) {
        let isFinished = progress.withLock { progress in
            if !progress.isFinished { progress.cleanUp = cleanUp }
            return progress.isFinished
        }
        if isFinished { cleanUp() }
    }

    @discardableResult
    package func finish(_ result: sending Swift.Result<Result, any Error>) -> Bool {
        let (continuation, cleanUp) = progress.withLock { progress in
            defer {
                progress.continuation = nil
                progress.isFinished = true
                progress.cleanUp = nil
            }
            return (progress.continuation, progress.cleanUp)
        }
        guard let continuation else { return false }
        cleanUp?()
        continuation.resume(with: result)
        return true
    }
}
