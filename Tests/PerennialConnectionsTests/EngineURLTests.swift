import PerennialConnections
import Testing

@Suite struct EngineURLTests {
    @Test func `an address is taken apart`() throws {
        let url = try EngineURL("redis://ada:p%40ss@example.com:7000/3?prefix=a%20b&timeout=2s")
        #expect(url.scheme == "redis")
        #expect(url.user == "ada")
        #expect(url.password == "p@ss")
        #expect(try url.hostAndPort(defaultPort: 1).host == "example.com")
        #expect(try url.hostAndPort(defaultPort: 1).port == 7000)
        #expect(url.path == "3")
        #expect(url.option("prefix") == "a b")
        #expect(url.option("timeout") == "2s")
        #expect(url.without(options: ["prefix"]).unredacted == "redis://ada:p%40ss@example.com:7000/3?timeout=2s")
    }

    @Test func `no password is in a description`() throws {
        for text in [
            "redis://:secret@h", "postgres://u:secret@h/db?sslmode=require", "mongodb://u:secret@a:1,b:2/db",
            "postgres://h/db?user=u&password=secret", "redis://u:secret/with/slashes@h/0",
            "mongodb://u:secret@h/?tlsCertificateKeyFilePassword=secret",
        ] {
            let url = try EngineURL(text)
            #expect(!"\(url)".contains("secret"), "\(url)")
            #expect(url.unredacted.contains("secret"))
        }
    }

    @Test func `a missing port, host or path has its standard value`() throws {
        let url = try EngineURL("redis://")
        #expect(try url.hostAndPort(defaultPort: 6379) == ("127.0.0.1", 6379))
        #expect(url.path == "" && url.options == [])
        #expect(try EngineURL("redis://[::1]:7").hostAndPort(defaultPort: 1) == ("::1", 7))
        #expect(try EngineURL("redis://[::1]").hostAndPort(defaultPort: 1) == ("::1", 1))
    }

    @Test(arguments: [
        "", "redis", "://h", "redis://h:0x", "redis://h:99999", "redis://h:1/%zz", "redis://%@h", "redis://a b",
        "redis://a,b", "redis://h?x=%1",
    ])
    func `what is no address is an error that shows no password`(text: String) {
        #expect(throws: EngineURLError.self) {
            _ = try EngineURL(text).hostAndPort(defaultPort: 1)
        }
    }
}
