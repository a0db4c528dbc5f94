import Testing

@testable import perennial

@Suite struct HiddenPasswordsTests {
    private func hidden(_ text: String) -> String {
        var bytes = Array(text.utf8)
        for range in passwordRanges(in: bytes) { for index in range { bytes[index] = UInt8(ascii: "*") } }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: [
        ("redis://ada:secret@h:1/0", "redis://ada:******@h:1/0"),
        ("--store=postgres://:secret@h", "--store=postgres://:******@h"),
        (
            "mongodb://u:a@b@h/?tlsCertificateKeyFilePassword=xyz&w=1",
            "mongodb://u:***@h/?tlsCertificateKeyFilePassword=***&w=1"
        ),
        ("https://api.example.com:8080/users?at=a@b:c", "https://api.example.com:8080/users?at=a@b:c"),
        ("redis://h:6379", "redis://h:6379"), ("--workers", "--workers"), ("", ""),
    ])
    func `passwords in arguments are covered, and nothing else`(argument: String, shown: String) {
        #expect(hidden(argument) == shown)
    }
}
