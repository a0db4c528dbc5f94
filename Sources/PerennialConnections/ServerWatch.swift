internal import Perennial

/// Who looks whether a server still answers while somebody waits for long work on it.
package struct ServerWatch: Sendable {
    /// How long before the first look, and between two.
    package let interval: Duration
    /// Throws when the server does not answer in time.
    package let look: @Sendable () async throws -> Void

    package init(every interval: Duration, look: @escaping @Sendable () async throws -> Void) {
        self.interval = interval
        self.look = look
    }

    /// What `work` gives, or the error of a look that failed before: then the work goes on, and nobody waits for it.
    ///
    /// Work that may take long has a long time-out, and a server that stands still would keep those who wait for it for
    /// as long. A server that is busy answers others meanwhile.
    func guarding<Result: Sendable>(_ work: @escaping @Sendable () async throws -> Result) async throws -> Result {
        let race = Race<Result>()
        return try await withCheckedThrowingContinuation { continuation in
            race.begin(continuation)
            Task {
                do {
                    race.finish(.success(try await work()))
                } catch {
                    race.finish(.failure(error))
                }
            }
            let looking = Task {
                while (try? await Task.sleep(for: interval)) != nil {
                    do {
                        try await look()
                    } catch {
                        race.finish(.failure(error))
                        return
                    }
                }
            }
            race.onFinish { looking.cancel() }
        }
    }
}
