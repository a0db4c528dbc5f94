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

    /// Such as people paste, without encoding them.
    static let odd = ["?", "/", "@", "#", ":", "%zz", "%", "&", "=", "[", "://", "?/@#:%zz&="].flatMap { sign in
        ["SEC\(sign)RET", "\(sign)SECRET", "SECRET\(sign)", "SEC\(sign)x@RET", "SEC@x\(sign)RET"]
    }

    @Test(arguments: odd)
    func `whatever stands before the last @ is neither in a description nor in an error`(password: String) {
        for rest in ["host/0", "host", "host:99999/0?timeout=x", "/0", "host/%zz", "a,b/0"] {
            for user in [":", "user:", ""] {
                var shown: [String] = []
                do throws(EngineURLError) {
                    let url = try EngineURL("redis://\(user)\(password)@\(rest)")
                    shown.append("\(url)")
                    #expect(
                        url.password == password || url.password == nil || password.contains(":"),
                        "\(url.password ?? "")")
                    _ = try url.seconds("timeout")
                    _ = try url.hostAndPort(defaultPort: 1)
                } catch {
                    shown.append("\(error)")
                }
                for text in shown { #expect(!text.contains("SEC") && !text.contains("RET"), "\(text)") }
            }
        }
    }

    @Test func `an @ behind a ? is an error that says how to write it`() {
        let error = #expect(throws: EngineURLError.self) { try EngineURL("redis://:SEC?RET@host/0") }
        #expect(error?.description.contains("%3F") == true)
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
