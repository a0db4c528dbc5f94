import PerennialEngines
import PerennialGateway
import PerennialHTTP
import Testing

@testable import perennial

/// How addresses and stores are read.
struct AddressesTests {
    @Test(arguments: [
        ("127.0.0.1:8080", ListenAddress(host: "127.0.0.1", port: 8080)),
        ("[::1]:80", ListenAddress(host: "::1", port: 80)), ("localhost:0", ListenAddress(host: "localhost", port: 0)),
    ])
    func `an address to listen on is host and port`(text: String, expected: ListenAddress) throws {
        #expect(try listenAddress(text) == expected)
    }

    @Test(arguments: ["", "8080", ":8080", "host", "host:", "host:x", "host:65536", "::1:80", "a b:80", "http://h:80"])
    func `anything else is no address to listen on`(text: String) {
        #expect(throws: Unreadable.self) { try listenAddress(text) }
    }

    @Test func `the admin address may be none`() throws {
        #expect(try optionalListenAddress("none") == nil)
        #expect(try optionalListenAddress("127.0.0.1:1")?.port == 1)
        #expect(throws: Unreadable.self) { try optionalListenAddress("unix:/run/p.sock") }
    }

    @Test func `a Unix socket is an address to listen on, if its path is short enough`() throws {
        #expect(try listenAddress("unix:/run/p.sock") == ListenAddress(socketPath: "/run/p.sock"))
        #expect("\(try listenAddress("unix:p.sock"))" == "unix:p.sock")
        for path in ["", String(repeating: "a", count: 104)] {
            #expect(throws: Unreadable.self) { try listenAddress("unix:\(path)") }
        }
    }

    @Test func `a store is a SQLite file, a server or memory`() throws {
        #expect(try engineAddress("sqlite:a/b.sqlite") == .sqlite(path: "a/b.sqlite"))
        #expect(try engineAddress("memory:") == .memory)
        let server = try engineAddress("redis://ada:secret@db.example.com/1?prefix=app")
        #expect("\(server)" == "redis://***:***@db.example.com/1?prefix=app")
    }

    @Test(arguments: ["", "sqlite:", "sqlite", "memory", "redis:", "mysql://u:secret@x", "redis://a b", "a.sqlite"])
    func `anything else is no store`(text: String) {
        let error = #expect(throws: Unreadable.self) { try engineAddress(text) }
        #expect(error?.description.contains("secret") == false)
    }

    @Test func `an origin is an address without password and query`() throws {
        #expect(try originAddress("HTTPS://API.example.com:443/").description == "https://api.example.com")
        for text in ["", "api.example.com", "ftp://x", "https://", "https://u:p@x", "https://x?q", "https://x:0"] {
            #expect(throws: Unreadable.self) { try originAddress(text) }
        }
    }
}
