import Perennial
import PerennialHTTP

/// Whose limits rule and which they are, from what was set. A contradiction is an error that names both sides.
func freshnessMode(
    rule: FreshnessRule?, refreshAfter: Found<Duration>?, expireAfter: Found<Duration>?, staleIfError: Found<Duration>?
) throws(Failure) -> FreshnessMode {
    try checkOrder(refreshAfter, expireAfter)
    try checkOrder(expireAfter, staleIfError)
    try checkOrder(refreshAfter, staleIfError)
    let areLimitsGiven = refreshAfter != nil || expireAfter != nil
    guard rule ?? (areLimitsGiven ? .policy : .origin) == .policy else {
        return .origin(staleIfError: staleIfError?.value)
    }
    // A default gives way to what was given; two given ones must fit.
    let soft =
        refreshAfter?.value ?? min(Limits.standard.refreshAfter, expireAfter?.value ?? staleIfError?.value ?? .forever)
    let hard =
        expireAfter?.value ?? max(soft, min(Limits.standard.expireAfter, staleIfError?.value ?? .forever))
    return .policy(Limits(raising: soft, hard, staleIfError?.value ?? hard))
}

/// - Throws: ``Failure`` when both are set and the later one is shorter.
func checkOrder(_ earlier: Found<Duration>?, _ later: Found<Duration>?) throws(Failure) {
    guard let earlier, let later, later.value < earlier.value else { return }
    let isUsage = earlier.place == .commandLine || later.place == .commandLine
    throw Failure(
        isUsage ? .usage : .configuration,
        "\(later.name) (\(readable(later.value))) is shorter than \(earlier.name) (\(readable(earlier.value))); "
            + "make it at least as long")
}
