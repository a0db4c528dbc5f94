/// The heartbeat of leases: extends those that are held for long, every third of the lease time.
final class LeaseKeeper: Sendable {
    private struct Lease: Hashable {
        let key: EntryKey
        let token: LeaseToken
    }

    private struct Held {
        var leases: Set<Lease> = []
        var isBeating = false
    }

    private let held = Locked(Held())
    private let store: any Store
    private let leaseTime: Duration
    private let time: any TimeSource

    init(store: any Store, leaseTime: Duration, time: any TimeSource) {
        self.store = store
        self.leaseTime = leaseTime
        self.time = time
    }

    func hold(_ key: EntryKey, _ token: LeaseToken) {
        let mustBegin = held.withLock { held in
            held.leases.insert(Lease(key: key, token: token))
            defer { held.isBeating = true }
            return !held.isBeating
        }
        if mustBegin { Task { await beat() } }
    }

    func letGo(_ key: EntryKey, _ token: LeaseToken) {
        _ = held.withLock { $0.leases.remove(Lease(key: key, token: token)) }
    }

    private func beat() async {
        while true {
            guard (try? await time.sleep(for: leaseTime / 3)) != nil else { return }
            let leases = held.withLock { held in
                if held.leases.isEmpty { held.isBeating = false }
                return held.leases
            }
            if leases.isEmpty { return }
            let now = time.now
            for lease in leases where held.withLock({ $0.leases.contains(lease) }) {
                // A lease that is lost or can't be extended costs a second request to the origin at worst: the fence decides who saves.
                _ = try? await store.extendLease(lease.key, token: lease.token, until: now + leaseTime, now: now)
                // It ended meanwhile: nobody stands behind it any more.
                if !held.withLock({ $0.leases.contains(lease) }) {
                    try? await store.releaseLease(lease.key, token: lease.token)
                }
            }
        }
    }
}
