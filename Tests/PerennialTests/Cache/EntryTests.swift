import Perennial
import PerennialTesting
import Testing

/// What an entry says of itself, however little of it is kept in memory.
@Suite struct EntryTests {
    /// Carries its validator in its text.
    private static let codec = Codec<String>(
        format: "text", encode: { Array($0.utf8) }, decode: { String(decoding: $0, as: UTF8.self) },
        validator: { text in text.contains("tag") ? Validator(etag: text) : nil })

    private static let limits = [
        Limits(raising: .hours(1), .days(7), .days(30)),
        Limits(raising: .zero, .zero, .zero),
        Limits(raising: .seconds(1), .forever, .forever),
        Limits(raising: .forever, .forever, .forever),
    ]

    private static let validators = [
        nil, Validator(etag: "tag 1"), Validator(etag: "other"), Validator(etag: "tag 1", lastModified: "yesterday"),
    ]

    @Test(arguments: limits, validators)
    func `limits, validator, tags and marks are those it was saved with`(
        _ limits: Limits, _ validator: Validator?
    ) async throws {
        let rig = Rig()
        let writer = rig.cache(codec: Self.codec)
        for (key, tags) in [("a", []), ("b", ["x", "y"])] {
            try await writer.set(key, to: "tag 1", limits: limits, tags: tags, validator: validator)
            try await writer.set("without \(key)", to: "text", limits: limits, tags: tags, validator: validator)
        }
        rig.clock.advance(by: .milliseconds(1))
        let reader = rig.cache(codec: Self.codec)
        for key in ["a", "b", "without a", "without b"] {
            let tags = key.hasSuffix("b") ? ["x", "y"] : []
            let read = await reader.lookupStored(key, accepting: { _ in true })
            for answer in [writer.peek(key), read] {
                let answer = try #require(answer)
                #expect(answer.limits == limits)
                #expect(answer.validator == validator)
                #expect(answer.tags == tags)
            }
            try await writer.markStale(key)
            let expired = try #require(writer.peek(key))
            #expect(expired.limits == limits)
            #expect(expired.validator == validator)
            #expect(expired.tags == tags)
            #expect(expired.state != .fresh)
        }
    }
}
