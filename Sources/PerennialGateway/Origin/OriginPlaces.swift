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
        /// Tunnels; further ones are refused.
        var tunnels = 1_024
        /// Those of one client's address.
        var tunnelsOfClient = 256
    }

    fileprivate struct State {
        var fetches = 0
        var passes = Crowd()
        var tunnels = Crowd()
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
                return state.passes.enter(client, limit: limits.passes, limits.passesOfClient) ? .entered : .refused
            case .tunnel(let client):
                return state.tunnels.enter(client, limit: limits.tunnels, limits.tunnelsOfClient) ? .entered : .refused
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
                state.passes.leave(client)
                return nil
            case .tunnel(let client):
                state.tunnels.leave(client)
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

    var counts: (fetches: Int, passes: Int) { state.withLockedValue { ($0.fetches, $0.passes.count) } }
    var tunnels: Int { state.withLockedValue(\.tunnels.count) }
}

/// How many have a place, in all and of each client.
private struct Crowd {
    private(set) var count = 0
    private var byClient: [ClientAddress: Int] = [:]

    mutating func enter(_ client: ClientAddress?, limit: Int, _ clientLimit: Int) -> Bool {
        let mine = client.map { byClient[$0, default: 0] } ?? 0
        if count >= limit || mine >= clientLimit { return false }
        count += 1
        if let client { byClient[client] = mine + 1 }
        return true
    }

    mutating func leave(_ client: ClientAddress?) {
        count -= 1
        guard let client, let mine = byClient[client] else { return }
        byClient[client] = mine > 1 ? mine - 1 : nil
    }
}

extension OriginPlaces.State {
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
