import Logging
import PerennialTesting
import Synchronization
import Testing

@testable import Perennial

/// What readers get when the origin fails, or one of its addresses does.
@Suite struct LeftAloneTests {
    /// A cache whose origin says what a test wants for each key: a key that begins with "bad" fails.
    func rig(_ error: any Error = Trouble()) -> (Rig, Cache<String, String>, OriginGuard) {
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in
                if key.hasPrefix("bad") { throw error }
                return .value("value of \(key)")
            })
        let origin = OriginGuard(time: rig.clock)
        return (rig, rig.cache(guarded: origin), origin)
    }

    @Test func `answers that there is no such thing are no failures, however many`() async throws {
        let rig = Rig(origin: ScriptedOrigin { _, _ in .absent(limits: Limits(raising: .zero, .zero, .zero)) })
        let cache = rig.cache(guarded: OriginGuard(time: rig.clock))
        for _ in 0..<20 { #expect(try await cache["gone"] == nil) }
        rig.origin.answers { key, _ in .notStored(key) }
        for _ in 0..<20 { #expect(try await cache["private"] == "private") }
        rig.origin.fails(OriginFailure("404", scope: .request))
        for _ in 0..<20 { await #expect(throws: OriginFailure.self) { try await cache["refused"] } }
        rig.origin.answers { key, _ in .value(key) }
        #expect(try await cache["other"] == "other")
        #expect(rig.origin.count == 61)
    }

    @Test func `a key that fails is left alone, and the others are not`() async throws {
        let (rig, cache, origin) = rig()
        for _ in 0..<5 { await #expect(throws: Trouble.self) { try await cache["bad"] } }
        for _ in 0..<5 { await #expect(throws: OriginUnavailable.self) { try await cache["bad"] } }
        #expect(rig.origin.count == 5)
        for number in 0..<20 { #expect(try await cache["\(number)"] == "value of \(number)") }
        #expect(origin.status.state == .closed)
        #expect(origin.status.addresses.map(\.address) == ["bad"])
        rig.clock.advance(by: .seconds(5))
        rig.origin.answers { key, _ in .value(key) }
        #expect(try await cache["bad"] == "bad")
        #expect(origin.status.addressCount == 0)
    }

    @Test func `an origin that fails for many keys is left alone as a whole`() async throws {
        let (rig, cache, origin) = rig()
        for number in 0..<10 { await #expect(throws: Trouble.self) { try await cache["bad \(number)"] } }
        await #expect(throws: OriginUnavailable.self) { try await cache["good"] }
        #expect(rig.origin.count == 10)
        #expect(origin.status.state == .open)
        #expect(origin.status.reason == "10 of 10 requests in 30 s failed; last: \(Trouble())")
        rig.clock.advance(by: .seconds(5))
        #expect(try await cache["good"] == "value of good")
        #expect(origin.status.state == .closed)
        #expect(origin.status.openings == 1)
    }

    @Test func `keys of one endpoint do not speak for the origin`() async throws {
        let rig = Rig()
        rig.origin.answers { key, _ in
            if key.hasPrefix("/search") { throw Trouble() }
            return .value(key)
        }
        let origin = OriginGuard(time: rig.clock)
        let cache = Cache<String, String>(
            "c", backend: rig.backend, codec: .json,
            terms: { OriginTerms(origin: origin, endpoint: String($0.prefix { $0 != "?" })) }, workers: 0,
            time: rig.clock, answering: { try await rig.origin.ask($0, $1) })
        for number in 0..<30 { await #expect(throws: Trouble.self) { try await cache["/search?\(number)"] } }
        #expect(try await cache["/users"] == "/users")
    }

    @Test func `a pause that one key was asked for is that key's, and no longer than it may be`() async throws {
        let (rig, cache, origin) = rig(OriginFailure("busy", retryAfter: .seconds(99_999_999)))
        await #expect(throws: OriginFailure.self) { try await cache["bad"] }
        await #expect {
            try await cache["bad"]
        } throws: {
            ($0 as? OriginUnavailable)?.retryAt == rig.clock.now + .minutes(10)
        }
        #expect(try await cache["good"] == "value of good")
        for key in ["bad 2", "bad 3"] { await #expect(throws: OriginFailure.self) { try await cache[key] } }
        // Now it is the origin that wants to be left alone.
        await #expect(throws: OriginUnavailable.self) { try await cache["good 2"] }
        #expect(origin.status.state == .paused)
        rig.clock.advance(by: .minutes(10))
        #expect(try await cache["good 2"] == "value of good 2")
    }

    @Test func `a refresh waits no longer for Retry-After than the guard does`() async throws {
        let rig = Rig()
        let cache = rig.cache(guarded: OriginGuard(longestRetryAfter: .minutes(3), time: rig.clock))
        _ = try await cache["a"]
        rig.clock.advance(by: .hours(2))
        _ = try await cache.lookup("a")
        try await eventually { try await rig.jobs().count == 1 }
        rig.origin.fails(OriginFailure("busy", retryAfter: .seconds(99_999_999)))
        await rig.worker(cache).drain()
        #expect(try await rig.jobs().first.map { $0.at - rig.clock.now } == .minutes(3))
    }

    @Test func `by hand the origin is asked again at once`() async throws {
        let (rig, cache, origin) = rig()
        for number in 0..<10 { await #expect(throws: Trouble.self) { try await cache["bad \(number)"] } }
        await #expect(throws: OriginUnavailable.self) { try await cache["good"] }
        rig.origin.answers { key, _ in .value(key) }
        #expect(origin.reopen() == 1)
        for number in 0..<10 { #expect(try await cache["bad \(number)"] == "bad \(number)") }
    }

    @Test func `many keys at once count for the origin, not for a key`() async throws {
        let rig = Rig()
        let origin = OriginGuard(time: rig.clock)
        let cache = rig.cache(guarded: origin, batch: { _, _ in throw Trouble() })
        for number in 0..<10 {
            await #expect(throws: PartialFailure<String, String>.self) {
                try await cache.values(for: ["\(number)", "\(number)'"])
            }
        }
        #expect(origin.status.state == .open)
        #expect(origin.status.addressCount == 0)
    }

    @Test func `that something is left alone, and asked again, is logged once and told the observer`() async throws {
        let lines = Notes()
        let told = Notes()
        let rig = Rig()
        rig.origin.fails(OriginFailure("no route to host", scope: .origin))
        let cache = Cache<String, String>(
            "c", backend: rig.backend, codec: .json,
            origin: OriginGuard(name: "https://api.test", time: rig.clock), workers: 0, time: rig.clock,
            logger: Logger(label: "test") { _ in LinesOfLog(lines: lines) },
            observer: { if case .origin(let change) = $0 { told.add("\(change.kind)") } },
            answering: { try await rig.origin.ask($0, $1) })
        for _ in 0..<15 { _ = try? await cache["a"] }
        #expect(
            lines.all == [
                "warning: the origin is left alone for 5 s: 10 of 10 requests in 30 s failed; last: no route to host "
                    + "(https://api.test)"
            ])
        rig.clock.advance(by: .seconds(5))
        _ = try? await cache["a"]
        #expect(
            lines.all.last == "info: the origin is left alone for another 10 s: it was tried again and failed: "
                + "no route to host (https://api.test)")
        rig.clock.advance(by: .seconds(10))
        rig.origin.answers { key, _ in .value(key) }
        #expect(try await cache["a"] == "a")
        #expect(lines.all.last == "notice: the origin is asked again: it works again (https://api.test)")
        #expect(lines.all.count == 3)
        #expect(told.all.count == 3)
    }
}

/// A log whose lines a test can read.
private struct LinesOfLog: LogHandler {
    let lines: Notes
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.add("\(event.level): \(event.message) (\(event.metadata?["origin"] ?? "no origin"))")
    }
}
