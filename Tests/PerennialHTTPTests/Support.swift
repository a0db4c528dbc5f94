import Perennial
import PerennialHTTP
import PerennialTesting

/// 2001-09-09T01:46:40Z: when every response of these tests arrives, unless it says otherwise.
let arrival = Timestamp(milliseconds: 1_000_000_000_000)

/// A response with `Date: arrival`, asked for at its arrival.
func response(
    _ status: Int = 200, _ fields: HeaderFields = [:], isDated: Bool = true, delay: Duration = .zero,
    isComplete: Bool = true
) -> OriginResponse {
    var fields = fields
    if isDated && !fields.contains("Date") { fields.add("Date", HTTPDate.format(arrival)) }
    return OriginResponse(
        status: status, fields: fields, requestedAt: arrival - delay, receivedAt: arrival, isComplete: isComplete)
}

/// The date `seconds` before the arrival; after it when negative.
func date(secondsBefore seconds: Int) -> String {
    HTTPDate.format(arrival - .seconds(seconds))
}

extension SeededGenerator {
    /// Up to `length` characters: half of them from `alphabet`, the rest of any kind.
    mutating func text(upTo length: Int, alphabet: String) -> String {
        let letters = Array(alphabet.utf8)
        let count = Int.random(in: 0...length, using: &self)
        let bytes = (0..<count).map { _ in
            Bool.random(using: &self) ? letters.randomElement(using: &self)! : UInt8.random(in: 0...255, using: &self)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
