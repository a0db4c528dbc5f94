/// Runs `work` for at most `timeout`, also when it does not heed its cancellation: then it is left to end by itself.
/// - Throws: ``FetchTimeout`` after `timeout`; what `work` throws.
func withTimeout<Result: Sendable>(
    _ timeout: Duration, _ time: any TimeSource, _ work: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let race = Race<Result>()
    return try await withCheckedThrowingContinuation { continuation in
        race.begin(continuation)
        let worker = Task {
            do {
                race.finish(.success(try await work()))
            } catch {
                race.finish(.failure(error))
            }
        }
        let timer = Task {
            guard (try? await time.sleep(for: timeout)) != nil else { return }
            if race.finish(.failure(FetchTimeout(timeout: timeout))) { worker.cancel() }
        }
        race.onFinish { timer.cancel() }
    }
}
