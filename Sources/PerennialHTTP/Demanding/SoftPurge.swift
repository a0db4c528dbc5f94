/// Whether a PURGE asks that what is stored be made stale and not removed: `Perennial-Soft-Purge: 1`, or
/// `Fastly-Soft-Purge: 1`, which many programs know.
public func asksForSoftPurge(_ fields: HeaderFields) -> Bool {
    ["Perennial-Soft-Purge", "Fastly-Soft-Purge"].contains { name in
        fields.values(of: name).contains { $0.trimmed == "1" || $0.trimmed.equalsIgnoringCase("true") }
    }
}
