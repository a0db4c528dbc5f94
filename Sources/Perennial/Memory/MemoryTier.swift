import Synchronization

public final class MemoryTier<Key: Hashable & Sendable, Element: Sendable>: Sendable {
    let table = Mutex<[Key: Element]>([:])
    public init(maximumBytes: Int, maximumCount: Int? = nil, shards: Int? = nil, seed: UInt64) {}
    public func value(for key: Key) -> Element? { table.withLock { $0[key] } }
    public func peek(_ key: Key) -> Element? { table.withLock { $0[key] } }
    public enum Change { case keep, remove, store(Element, cost: Int) }
    public func update(_ key: Key, _ body: (Element?) -> Change) {
        table.withLock { t in
            switch body(t[key]) {
            case .keep: break;
            case .remove: t[key] = nil;
            case .store(let e, _): t[key] = e
            }
        }
    }
    public func removeAll(where p: (Key, Element) -> Bool) {
        table.withLock { t in t = t.filter { !p($0.key, $0.value) } }
    }
    public func forEach(_ body: (Key, Element, Bool) -> Void) {
        for (k, v) in table.withLock({ $0 }) { body(k, v, true) }
    }
}
extension MemoryTier {
    public var statistics: (hits: Int, misses: Int, count: Int, bytes: Int, evictions: Int) { (0, 0, 0, 0, 0) }
}
