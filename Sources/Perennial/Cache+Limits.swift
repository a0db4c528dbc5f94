/// Says which limits an entry has now. It is asked whenever an entry comes into the memory tier, from the store as from
/// the origin, so that limits which were changed hold for what was saved before. It must be quick.
///
/// Given the key, the value (`nil`: "no such thing") and the limits that the entry was saved with. The store goes on
/// counting with these: limits that are longer are of no use once its janitor has removed the entry.
///
/// ```swift
/// limits: { _, _, saved in
///     Limits(raising: min(saved.refreshAfter, .minutes(5)), min(saved.expireAfter, .hours(1)), .hours(1))
/// }
/// ```
public typealias LimitsHook<Key, Value> = @Sendable (_ key: Key, _ value: Value?, _ saved: Limits) -> Limits

extension Cache {
    /// Gives the entries in the memory tier the limits that the cache's ``LimitsHook`` says now: to be called when its
    /// answers have changed.
    ///
    /// An entry's limits are the ones that it has in memory, so that what was shortened here once is not made longer
    /// before its next refresh.
    public func applyLimits() {
        guard let limitsOfEntry else { return }
        memory.forEach { key, entry in
            let limits = limitsOfEntry(key, entry.value, entry.limits)
            guard limits != entry.limits else { return }
            var metadata = entry.metadata(of: entryKey(key), format: codec.format)
            metadata.limits = limits
            let changed = makeEntry(entry.value, metadata)
            let cost = self.cost(changed, key)
            // Unless another one has come meanwhile, which has its limits already.
            memory.update(key) { $0 === entry ? .replace(changed, cost: cost) : .keep }
        }
    }
}
