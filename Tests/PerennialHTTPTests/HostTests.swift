import Testing

@testable import PerennialHTTP

/// `Host = uri-host [ ":" port ]` (RFC 9110 §7.2).
@Suite struct HostTests {
    @Test(arguments: [
        "", "a", "A.example", "a.", "a_b", "a-b.c~d", "xn--4ca.example", "a:80", "a:", "a:0", "a:65535", "a:00080",
        "127.0.0.1", "127.0.0.1:80", "1.2.3", "999.1.1.1", "a%20b", "a!$&'()*+,;=b", "[::1]", "[::]", "[::1]:80",
        "[::1]:",
        "[1:2:3:4:5:6:7:8]", "[1::8]", "[1:2:3:4:5:6:7::]", "[::ffff:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]:8", "[FE80::A]",
        "[v1.a:b]",
    ])
    func `a host and port are taken`(value: String) throws {
        #expect(isHostAndPort(value))
        #expect(complaint(aboutFields: [("Host", value)], isOldVersion: false) == nil)
        #expect(try isPlain(value))
    }

    @Test(arguments: [
        "a:notaport", "[::1", "a:80:80", "a:65536", "a:99999999999999999999", "a:-1", "a:+1", "a: 80", "a:8 0", ":80",
        ":", "::1",
        "a/b", "a@b", "a b", "a?b", "a#b", "a\\b", "ü", "a%", "a%2", "a%zz", "[", "]", "[]", "[a]", "[:]", "[:::]",
        "[1:2]", "[1::2::3]",
        "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7:8::]", "[12345::]", "[::1]80", "[::1]:x", "[::1]a", "a[::1]",
        "[::1.2.3]", "[::1.2.3.256]",
        "[::1.2.3.4:5]", "[1:]", "[:1]", "[fe80::1%25eth0]", "[v.a]", "[v1.]", "[vx.a]", "a\"b", "a<b", "a|b", "{a}",
        "a,b:x",
    ])
    func `what is no host and port is a bad request`(value: String) throws {
        #expect(!isHostAndPort(value))
        #expect(complaint(aboutFields: [("Host", value)], isOldVersion: false)?.status == 400)
        #expect(try !isPlain(value))
    }

    private func isPlain(_ host: String) throws -> Bool {
        let bytes = Array("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n".utf8)
        return try RequestHead.scan(bytes.span, limits: HeadLimits(size: 1000, fields: 10))?.isPlain == true
    }
}
