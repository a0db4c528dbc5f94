/// Lets a process that writes to a store on a server look at the store's limit as often as it has written a good part
/// of it: the janitor, which comes every 30 seconds, would be late. While one writer makes room, others that have
/// written as much again wait for it.
package final class WritePressure: Sendable {
    private struct State {
        /// Bytes written since the limit was looked at.
        var written = 0
        var isMakingRoom = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private enum Step {
        case goOn, makeRoom, wait
    }

    /// After so many bytes the limit is looked at.
    private let step: Int
    private let state = Locked(State())

    /// - Parameter sizeLimit: the store's, in bytes; `nil`: none, nothing is ever done.
    package init(sizeLimit: Int?) {
        step = sizeLimit.map { min(16 << 20, max(1, $0 / 16)) } ?? .max
    }

    /// Notes what was written, and makes room when it is time.
    /// - Parameter makeRoom: removes what is too much. Its errors are the janitor's business: what was written is
    ///   written.
    package func wrote(bytes: Int, makeRoom: () async throws -> Void) async {
        if step == .max { return }
        let next = state.withLock { state -> Step in
            state.written += bytes
            if state.written < step { return .goOn }
            if state.isMakingRoom { return .wait }
            state.isMakingRoom = true
            state.written = 0
            return .makeRoom
        }
        switch next {
        case .goOn: return
        case .wait: await wait()
        case .makeRoom:
            try? await makeRoom()
            let waiting = state.withLock { state in
                state.isMakingRoom = false
                defer { state.waiting = [] }
                return state.waiting
            }
            for writer in waiting { writer.resume() }
        }
    }

    private func wait() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.isMakingRoom { state.waiting.append(continuation) }
                return !state.isMakingRoom
            }
            if isOver { continuation.resume() }
        }
    }
}
