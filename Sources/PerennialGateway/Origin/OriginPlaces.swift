internal import NIOConcurrencyHelpers

/// How many requests may be on their way to one origin at a time, on all event loops together.
///
/// Fetches and refreshes have places of their own, so that what passes through, which a client may hold for as long as
/// it likes, never keeps the cache from asking; and one client has but a part of the places for what passes.
final class OriginPlaces: Sendable {
    struct Limits: Hashable, Sendable {
        /// Fetches and refreshes; further ones wait for their turn.
        var fetches = 512
        /// Requests that pass through; further ones are refused.
        var passes = 512
        /// Those of one client's address.
        var passesOfClient = 256
    }

    fileprivate struct State {
        var fetches = 0
        var passes = 0
        var passesByClient: [ClientAddress: Int] = [:]
        /// Fetches that wait for a place; some may have given up.
        var waiting: [@Sendable () -> Void] = []
        var firstWaiting = 0
    }

    private let limits: Limits
    private let state = NIOLockedValueBox(State())

    init(_ limits: Limits = Limits()) {
        self.limits = limits
    }

    enum Entry: Equatable {
        case entered
        /// `retry` will be called when a place may be free.
        case waits
        case refused
    }

    /// Takes a place, which is the caller's until ``leave(_:)``.
    /// - Parameter retry: is called once, on any thread, when it is worth another try.
    func enter(_ rank: OriginRank, retry: @escaping @Sendable () -> Void) -> Entry {
        state.withLockedValue { state in
            switch rank {
            case .fetch:
                if state.fetches >= limits.fetches {
                    state.waiting.append(retry)
                    return .waits
                }
                state.fetches += 1
            case .pass(let client):
                let mine = client.map { state.passesByClient[$0, default: 0] } ?? 0
                if state.passes >= limits.passes || mine >= limits.passesOfClient { return .refused }
                state.enterPass(client)
            }
            return .entered
        }
    }

    func leave(_ rank: OriginRank) {
        let next = state.withLockedValue { state -> (@Sendable () -> Void)? in
            switch rank {
            case .fetch:
                state.fetches -= 1
                return state.nextWaiting()
            case .pass(let client):
                state.leavePass(client)
                return nil
            }
        }
        next?()
    }

    /// Lets the next fetch that waits try, if there is a place: whoever was told before does not need one any more.
    func offer() {
        let next = state.withLockedValue { $0.fetches < limits.fetches ? $0.nextWaiting() : nil }
        next?()
    }

    /// The answer to a fetch turns out to be for one client alone: its place is free for others.
    /// - Returns: whether there is a place for it among what passes; if not, it keeps the one it has.
    func move(to rank: OriginRank) -> Bool {
        guard enter(rank, retry: {}) == .entered else { return false }
        leave(.fetch)
        return true
    }

    var counts: (fetches: Int, passes: Int) { state.withLockedValue { ($0.fetches, $0.passes) } }
}

extension OriginPlaces.State {
    fileprivate mutating func enterPass(_ client: ClientAddress?) {
        passes += 1
        if let client { passesByClient[client, default: 0] += 1 }
    }

    fileprivate mutating func leavePass(_ client: ClientAddress?) {
        passes -= 1
        guard let client, let mine = passesByClient[client] else { return }
        passesByClient[client] = mine > 1 ? mine - 1 : nil
    }

    fileprivate mutating func nextWaiting() -> (@Sendable () -> Void)? {
        guard firstWaiting < waiting.count else { return nil }
        let next = waiting[firstWaiting]
        firstWaiting += 1
        if firstWaiting == waiting.count {
            waiting = []
            firstWaiting = 0
        } else if firstWaiting > 1024 {
            waiting.removeFirst(firstWaiting)
            firstWaiting = 0
        }
        return next
    }
}
