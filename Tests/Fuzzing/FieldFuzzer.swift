internal import Perennial
internal import PerennialHTTP

/// Gives values of any kind to everything that reads fields, addresses and stored bytes: nothing crashes, and what is read,
/// written and read again is the same.
public struct FieldFuzzer {
    private var dice: Dice
    private let origin: OriginURL

    public init(seed: UInt64) {
        dice = Dice(seed: seed)
        guard let origin = try? OriginURL("http://a/base") else { preconditionFailure("a valid origin") }
        self.origin = origin
    }

    /// Tries one more input.
    /// - Throws: ``Finding``.
    public mutating func tryOne() throws {
        switch dice.below(6) {
        case 0: try tryDate()
        case 1: try tryKey()
        case 2: try tryOrigin()
        case 3: try tryStored()
        case 4: try tryNumbers()
        default: try tryFields()
        }
    }

    private mutating func value(_ seeds: [String]) -> String {
        var bytes = Array(dice.pick(seeds).utf8)
        if dice.once(in: 4) { bytes = dice.bytes(upTo: 30) } else { dice.mutate(&bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func tryDate() throws {
        let text = value([
            "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
            "Tue, 29 Feb 2000 23:59:60 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
        ])
        guard let time = HTTPDate.parse(text, now: Timestamp(milliseconds: 1_000_000_000_000)) else { return }
        guard HTTPDate.parse(HTTPDate.format(time)) == time else { throw Finding("a date that changes", text.utf8) }
    }

    private mutating func tryKey() throws {
        let target = value([
            "/", "/a/b?c=d&e", "/%2e%2E/%41%7e", "/a/../../b", "http://a/base/x?y", "/a%2f..%2fb", "/..;/a", "//a//",
            "/%%34%32", "/a#b",
        ])
        guard let key = try? origin.key(forTarget: target) else { return }
        guard key.hasPrefix("http://a/base"), origin.target(ofKey: key) != nil else {
            throw Finding("a key outside its origin: \(key)", target.utf8)
        }
        guard (try? origin.key(forTarget: key)) == key else { throw Finding("a key that changes: \(key)", target.utf8) }
        guard key.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "#") }) else {
            throw Finding("a key that is no address: \(key)", target.utf8)
        }
    }

    private mutating func tryOrigin() throws {
        let text = value([
            "http://a", "https://[::1]:9000/v1/", "HTTP://A.b:80/c/../d", "http://a/%7e//", "http://1.2.3.4:5",
        ])
        guard let origin = try? OriginURL(text) else { return }
        guard (try? OriginURL(origin.description)) == origin else {
            throw Finding("an origin that changes: \(origin)", text.utf8)
        }
    }

    private mutating func tryStored() throws {
        let fields: HeaderFields = ["ETag": value(["\"a\""]), "X": value(["b"])]
        let response = StoredResponse(
            status: dice.below(1000), fields: fields, body: dice.bytes(upTo: 40),
            requestFields: ["Accept": value(["a"])],
            vary: dice.once(in: 2) ? [] : ["accept"])
        var bytes = response.encode()
        guard (try? StoredResponse(decoding: bytes)) == response else {
            throw Finding("a stored response that changes", bytes)
        }
        dice.mutate(&bytes)
        guard bytes.count >= 9 else { return }
        // With a checksum that is right, so that it does not hide what comes behind it.
        if dice.once(in: 2) {
            let sum = checksum(bytes.dropLast(4))
            for (place, shift) in [0, 8, 16, 24].enumerated() {
                bytes[bytes.count - 4 + place] = UInt8(truncatingIfNeeded: sum >> UInt32(shift))
            }
        }
        guard let read = try? StoredResponse(decoding: bytes) else { return }
        guard (try? StoredResponse(decoding: read.encode())) == read else {
            throw Finding("a damaged response that changes", bytes)
        }
    }

    private mutating func tryNumbers() throws {
        let text = value(["5", "005", "9223372036854775807", "-1", " 7\t", "0"])
        guard let length = bodyLength(text) else { return }
        guard length >= 0, bodyLength(String(length)) == length, trimmed(text).utf8.allSatisfy({ 0x30...0x39 ~= $0 })
        else {
            throw Finding("a length that is none: \(length)", text.utf8)
        }
    }

    private mutating func tryFields() throws {
        let directives = value([
            "max-age=60, stale-while-revalidate=5", "private=\"a, b\", no-store", "no-cache, s-maxage=\"1\"",
            "public,,max-age=-1",
            "must-understand, no-store", "max-age=99999999999999999999",
        ])
        let tag = value(["\"a\"", "W/\"b\", \"c\"", "*", "\"a,b\""])
        let list = value(["Accept, Accept-Encoding", "*", "X-A, cookie", ",,a"])
        let fields: HeaderFields = [
            "Cache-Control": directives, "ETag": tag, "If-None-Match": tag, "Vary": list, "Connection": list,
            "Accept": list,
            "Accept-Encoding": value(["gzip, br;q=0.5", "identity"]), "Age": value(["5"]), "Expires": value(["0"]),
            "Max-Forwards": value(["1"]), "Via": list,
        ]
        let now = Timestamp(milliseconds: 1_000_000_000_000)
        let response = OriginResponse(status: 100 + dice.below(500), fields: fields, requestedAt: now, receivedAt: now)
        let limits = freshness(of: response, mode: .origin()).limits
        guard limits.refreshAfter <= limits.expireAfter, limits.expireAfter <= limits.staleIfError else {
            throw Finding("limits out of order", directives.utf8)
        }
        _ = storability(of: response, method: "GET", requestFields: fields)
        _ = admission(of: "GET", fields: fields)
        _ = clientHasCurrent(requestFields: fields, storedFields: fields, status: 200)
        _ = mergeNotModified(stored: fields, from304: fields, receivedAt: now)
        _ = MaxForwards(fields)
        let vary = Vary(fields)
        guard Vary(names: vary.names).names == vary.names else { throw Finding("a Vary that changes", list.utf8) }
        if !vary.isAny {
            guard vary.matches(selecting: vary.selectingFields(of: fields), request: fields) else {
                throw Finding("a response that is not for its own request", list.utf8)
            }
            guard vary.variantKey(for: fields).utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else {
                throw Finding("a variant key that is no word", list.utf8)
            }
        }
        let kept = fieldsToStore(of: fields)
        guard fieldsToStore(of: kept) == kept || kept.contains("Cache-Control") else {
            throw Finding("fields to store that change", list.utf8)
        }
    }
}

/// CRC-32, bit by bit.
private func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var sum = UInt32.max
    for byte in bytes {
        sum ^= UInt32(byte)
        for _ in 0..<8 { sum = (sum >> 1) ^ (sum & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    return ~sum
}
