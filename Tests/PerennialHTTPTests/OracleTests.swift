import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

/// Random responses, made up as plain facts, are judged twice: by the rules, which read the fields written from these
/// facts in one of many ways, and by an oracle that follows the text of RFC 9111 and never reads a field.
struct OracleTests {
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `The rules judge as the text of the RFC does`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var stored = 0
        for _ in 0..<5000 {
            let facts = Facts(from: &generator)
            let fields = facts.fields(&generator)
            let response = OriginResponse(
                status: facts.status, fields: fields, requestedAt: arrival - .seconds(facts.delay),
                receivedAt: arrival)
            let mode = FreshnessMode.origin(staleIfError: facts.operatorStaleIfError.map { .seconds($0) })
            let decision = storability(of: response, method: "GET", requestFields: [:], mode: mode)
            #expect((decision == .store) == facts.mayBeStored, "\(facts)\n\(fields)\n\(decision)")
            #expect((decision == .storeIfNothingBetter) == facts.mayBeStoredForWant, "\(facts)\n\(fields)\n\(decision)")
            guard decision == .store else { continue }
            stored += 1
            let made = freshness(of: response, mode: mode)
            let freshness = Freshness(confirmedAt: arrival - made.initialAge, limits: made.limits)
            for later in [0, 1, 5, 9, 10, 11, 29, 30, 31, 59, 60, 61, 100, 119, 120, 121, 1000, 90_000] as [Int64] {
                let now = arrival + .seconds(later)
                let age = facts.age(later)
                #expect(freshness.age(at: now) == .seconds(age), "\(facts)\n\(fields)")
                let state = freshness.state(at: now)
                let expected: State =
                    facts.isFresh(atAge: age)
                    ? .fresh : facts.mayBeServedWhileRevalidating(atAge: age) ? .stale : .expired
                #expect(state == expected, "\(later) seconds later\n\(facts)\n\(fields)")
                let isUsable = state != .expired || freshness.isUsableOnError(at: now)
                #expect(
                    isUsable == (expected != .expired || facts.mayBeServedOnError(atAge: age)),
                    "\(later) seconds later\n\(facts)\n\(fields)")
            }
        }
        // A test in which nothing is stored would say nothing.
        #expect(stored > 500)
    }
}

/// What an origin means to say.
private struct Facts {
    /// A number of seconds, or what is none.
    enum Seconds { case valid(Int64), broken(String) }
    enum Reserved { case nothing, fields, everything }

    var status: Int
    var targeted: String?
    var maxAge, sharedMaxAge, staleWhileRevalidate, staleIfError: Seconds?
    var noStore, isPublic, mustRevalidate, proxyRevalidate, mustUnderstand: Bool
    var noCache, onlyPrivate: Reserved
    /// Counted from the arrival.
    var expires: Seconds?
    /// Seconds before the arrival.
    var date, lastModified: Int64?
    var age: Seconds?
    var hasTag: Bool
    var delay: Int64
    var operatorStaleIfError: Int64?

    init(from random: inout SeededGenerator) {
        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
        func number() -> Int64 { [0, 1, 5, 10, 30, 60, 120].randomElement(using: &random)! }
        let isTargeted = chance(25)
        func seconds(_ percent: Int, brokenPercent: Int = 10) -> Seconds? {
            guard chance(percent) else { return nil }
            guard !isTargeted, chance(brokenPercent) else { return .valid(number()) }
            return .broken(["x", "-1", "1.5", "", "1 0", "+5", "'5'"].randomElement(using: &random)!)
        }
        func reserved() -> Reserved { chance(8) ? .everything : chance(8) ? .fields : .nothing }
        status = [
            200, 200, 200, 200, 203, 204, 206, 300, 301, 302, 304, 307, 308, 404, 410, 418, 451, 401, 403, 429, 500,
            503,
        ]
        .randomElement(using: &random)!
        targeted = isTargeted ? (chance(50) ? "CDN-Cache-Control" : "Perennial-Cache-Control") : nil
        maxAge = seconds(50)
        sharedMaxAge = seconds(15)
        staleWhileRevalidate = seconds(30)
        staleIfError = seconds(30)
        noStore = chance(8)
        isPublic = chance(15)
        mustRevalidate = chance(8)
        proxyRevalidate = chance(8)
        mustUnderstand = chance(8)
        noCache = reserved()
        onlyPrivate = reserved()
        expires =
            chance(30)
            ? (chance(20) ? .broken(["0", "-1", "", "soon"].randomElement(using: &random)!) : .valid(number() - 30))
            : nil
        date = chance(70) ? (chance(70) ? 0 : number() - 5) : nil
        lastModified = chance(40) ? number() * 50 : nil
        age =
            chance(25)
            ? (chance(20) ? .broken(["x", "-5", "1.5", "5, 6", ""].randomElement(using: &random)!) : .valid(number()))
            : nil
        hasTag = chance(30)
        delay = chance(80) ? 0 : 2
        operatorStaleIfError = chance(30) ? number() : nil
    }
}

// The oracle.
extension Facts {
    private static let heuristicallyCacheable = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]
    /// What this cache never stores, more strictly than the RFC: failures, refusals; and 206 and 304.
    private static let neverStored = [206, 304, 401, 403, 407, 408, 425, 429] + Array(500...599)
    /// RFC 9110's own and 451 are not told apart for caching; these are statuses whose definitions this cache knows.
    private static let understood =
        Array(200...205) + [300, 301, 302, 303, 305, 307, 308] + Array(400...417) + [421, 422, 426]
        + Array(500...505)

    private var isForbidden: Bool {
        if mustUnderstand && !Self.understood.contains(status) { return true }
        if noStore && !mustUnderstand { return true }
        if case .everything = onlyPrivate { return true }
        return false
    }

    /// A failure that says how long it is fresh, which is better than nothing.
    var mayBeStoredForWant: Bool {
        guard [500, 503].contains(status), !isForbidden else { return false }
        guard maxAge != nil || sharedMaxAge != nil || expires != nil && targeted == nil else { return false }
        if case .everything = noCache { return false }
        let age = age(0)
        return isFresh(atAge: age) || mayBeServedWhileRevalidating(atAge: age)
    }

    /// §3.
    var mayBeStored: Bool {
        if Self.neverStored.contains(status) || isForbidden { return false }
        let isExplicit = maxAge != nil || sharedMaxAge != nil || isPublic || expires != nil && targeted == nil
        guard isExplicit || Self.heuristicallyCacheable.contains(status) else { return false }
        // Of no use (§3, note): it can't be served at any time, nor asked about.
        let age = age(0)
        return hasTag || lastModified != nil || isFresh(atAge: age) || mayBeServedWhileRevalidating(atAge: age)
            || mayBeServedOnError(atAge: age)
    }

    /// §4.2.3, corrected_initial_age + resident_time.
    func age(_ residentTime: Int64) -> Int64 {
        let apparent = max(0, date ?? 0)
        // What is no number is ignored; of a list the first member counts.
        let claimed: Int64 =
            switch age {
            case .valid(let age): age
            case .broken("5, 6"): 5
            case .broken, nil: 0
            }
        return max(apparent, claimed + delay) + residentTime
    }

    /// §4.2.1, §4.2.2.
    var lifetime: Double {
        if case .everything = noCache { return 0 }
        if let seconds = sharedMaxAge ?? maxAge { return value(seconds) }
        // Date is the value to count from; the arrival where there is none.
        if targeted == nil, let expires {
            if case .valid(let expires) = expires { return Double(max(0, expires + (date ?? 0))) }
            return 0
        }
        guard isPublic || Self.heuristicallyCacheable.contains(status), let lastModified else { return 0 }
        return Double(max(0, lastModified - (date ?? 0))) / 10
    }

    func isFresh(atAge age: Int64) -> Bool { lifetime > Double(age) }

    /// §4.2.4, §5.2.2.2, §5.2.2.4, §5.2.2.8, §5.2.2.10.
    var mayBeServedStale: Bool {
        if case .everything = noCache { return false }
        return !mustRevalidate && !proxyRevalidate && sharedMaxAge == nil
    }

    /// RFC 5861 §3.
    func mayBeServedWhileRevalidating(atAge age: Int64) -> Bool {
        mayBeServedStale && Double(age) < lifetime + (staleWhileRevalidate.map(value) ?? 0)
    }

    /// RFC 5861 §4; what the origin doesn't say the operator may, as an age.
    func mayBeServedOnError(atAge age: Int64) -> Bool {
        guard mayBeServedStale else { return false }
        if let staleIfError { return Double(age) < lifetime + value(staleIfError) }
        return age < operatorStaleIfError ?? 0
    }

    /// What is no number of seconds is stale.
    private func value(_ seconds: Seconds) -> Double {
        if case .valid(let number) = seconds { Double(number) } else { 0 }
    }
}

// The fields, written in one of many ways.
extension Facts {
    func fields(_ random: inout SeededGenerator) -> HeaderFields {
        var fields = HeaderFields()
        func line(_ name: String, _ value: String) {
            fields.add(Bool.random(using: &random) ? name : name.lowercased(), value)
        }
        if let targeted {
            line(targeted, directives(&random, isStrict: true).joined(separator: ", "))
            // Which of these two rules is told by the targeted field being there.
            if Bool.random(using: &random) { line("Cache-Control", "no-store, max-age=7") }
            if targeted != "CDN-Cache-Control", Bool.random(using: &random) { line("CDN-Cache-Control", "max-age=13") }
            if targeted == "CDN-Cache-Control", Bool.random(using: &random) {
                line(
                    "Perennial-Cache-Control",
                    ["", "max-age=", "Max-Age=5", "max-age=\"5\""].randomElement(using: &random)!)
            }
        } else {
            var rest = directives(&random, isStrict: false)[...]
            while !rest.isEmpty {
                let count = Int.random(in: 1...rest.count, using: &random)
                let comma = [",", ", ", " ,\t", ",, "].randomElement(using: &random)!
                line("Cache-Control", rest.prefix(count).joined(separator: comma))
                rest = rest.dropFirst(count)
            }
        }
        switch expires {
        case .valid(let seconds): line("Expires", HTTPDate.format(arrival + .seconds(seconds)))
        case .broken(let text): line("Expires", text)
        case nil: break
        }
        if let date { line("Date", HTTPDate.format(arrival - .seconds(date))) }
        if let lastModified { line("Last-Modified", HTTPDate.format(arrival - .seconds(lastModified))) }
        switch age {
        case .valid(let seconds):
            line("Age", String(seconds))
            if Bool.random(using: &random) { line("Age", "77") }
        case .broken(let text): line("Age", text)
        case nil: break
        }
        if hasTag { line("ETag", "\"a\"") }
        return fields
    }

    /// - Parameter isStrict: as a structured dictionary, in which nothing may be left to chance.
    private func directives(_ random: inout SeededGenerator, isStrict: Bool) -> [String] {
        var groups: [[String]] = []
        func number(_ name: String, _ seconds: Seconds?) {
            switch seconds {
            case .valid(let number):
                let quoted = !isStrict && Int.random(in: 0..<5, using: &random) == 0
                var group = ["\(name)=\(quoted ? "\"\(number)\"" : String(number))"]
                // The first one counts, but of a structured key the last.
                if !isStrict, Int.random(in: 0..<8, using: &random) == 0 { group.append("\(name)=3600") }
                groups.append(group)
            case .broken(let text): groups.append(["\(name)=\(text)"])
            case nil: break
            }
        }
        number("max-age", maxAge)
        number("s-maxage", sharedMaxAge)
        number("stale-while-revalidate", staleWhileRevalidate)
        number("stale-if-error", staleIfError)
        for (name, isThere) in [
            ("no-store", noStore), ("public", isPublic), ("must-revalidate", mustRevalidate),
            ("proxy-revalidate", proxyRevalidate), ("must-understand", mustUnderstand),
        ] where isThere { groups.append([name]) }
        for (name, reserved) in [("no-cache", noCache), ("private", onlyPrivate)] {
            switch reserved {
            case .nothing: break
            case .fields: groups.append(["\(name)=\"x-a, x-b\""])
            case .everything: groups.append([name])
            }
        }
        // A targeted field that is empty would not rule.
        if isStrict || Bool.random(using: &random) { groups.append(["unknown=\"max-age=1\""]) }
        groups.shuffle(using: &random)
        guard !isStrict else { return groups.flatMap { $0 } }
        return groups.flatMap { $0 }.map { Int.random(in: 0..<3, using: &random) == 0 ? $0.uppercased() : $0 }
    }
}
