import Foundation
import Perennial
import PerennialTesting
import Testing

@testable import PerennialGateway

/// TLS on the listener, with certificates that openssl makes and curl as the client.
struct TLSTests {
    @Test func `curl gets HTTP 2 and HTTP 1_1, with TLS 1_3 and 1_2, and nothing older`() async throws {
        try await withSecureRig { rig, certificates in
            let url = "https://localhost:\(rig.port)/"
            for (version, option) in [("2", "--http2"), ("1.1", "--http1.1")] {
                for tls in ["1.2", "1.3"] {
                    let said = try await curl(
                        certificates, option, "--tls-max", tls, "-w", " %{http_version} %{ssl_verify_result}", url)
                    #expect(said == "secret \(version) 0")
                }
            }
            #expect(rig.origin.requests.count == 1)
            await #expect(throws: Shell.Failed.self) {
                try await curl(certificates, "--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", url)
            }
            try await eventually { rig.gateway.metrics.failedHandshakes == 1 }
        }
    }

    @Test func `who speaks no TLS is closed and counted, and so is who says nothing`() async throws {
        try await withSecureRig({ $0.idleTimeout = .milliseconds(200) }) { rig, _ in
            for text in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{16}\u{3}\u{1}", ""] {
                let client = try await rig.client()
                if !text.isEmpty { try? await client.send(text) }
                _ = await client.rest()
                await client.close()
            }
            try await eventually { rig.gateway.metrics.failedHandshakes == 3 }
            #expect(rig.gateway.metrics.openConnections == 0)
            #expect(rig.origin.requests.isEmpty)
        }
    }

    @Test func `new connections get a certificate that was replaced, open ones stay`() async throws {
        try await withSecureRig { rig, certificates in
            try await certificates.make("next")
            try certificates.replace("server.crt", by: "next.crt")
            try certificates.replace("server.key", by: "next.key")
            let url = "https://localhost:\(rig.port)/"
            try await eventually {
                try? await Shell.run("curl", "-s", "--cacert", certificates.path("next.crt"), url) == "secret"
            }
            await #expect(throws: Shell.Failed.self) {
                // What was believed before the change is shown no more.
                try await Shell.run("curl", "-s", "--cacert", certificates.path("old.crt"), url)
            }
        }
    }

    @Test func `a bad new pair changes nothing, and the good one that follows counts`() async throws {
        let certificates = try await Certificates()
        let certificate = try ServerCertificate(
            certificateFile: certificates.path("server.crt"), keyFile: certificates.path("server.key"))
        #expect(try certificate.reloadIfChanged() == false)
        let before = certificate.context
        try await certificates.make("next")
        try certificates.replace("server.crt", by: "next.crt")
        let error = #expect(throws: CertificateError.self) { try certificate.reloadIfChanged() }
        #expect(error?.description.contains("is not the key of the certificate") == true)
        #expect(certificate.context === before)
        #expect(try certificate.reloadIfChanged() == false)
        try certificates.replace("server.key", by: "next.key")
        #expect(try certificate.reloadIfChanged())
        #expect(certificate.context !== before)
    }

    @Test func `files that are no certificate and key are told apart`() async throws {
        let certificates = try await Certificates()
        try await certificates.make("other")
        let (chain, key) = (certificates.path("server.crt"), certificates.path("server.key"))
        try Data("-----BEGIN PRIVATE KEY-----\nxx\n".utf8).write(to: URL(filePath: certificates.path("junk")))
        try await Shell.run(
            "openssl", "ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", certificates.path("locked.key"))
        for (chain, key, kind, text) in [
            (certificates.path("none"), key, CertificateError.Kind.unreadable, "No such file"),
            (chain, certificates.path("none"), .unreadable, "No such file"),
            (certificates.folder, key, .unreadable, "directory"),
            (certificates.path("junk"), key, .unfit, "no certificate in PEM form"),
            (key, key, .unfit, "no certificate in PEM form"),
            (chain, chain, .unfit, "no private key in PEM form"),
            (chain, certificates.path("junk"), .unfit, "no private key in PEM form"),
            (chain, certificates.path("locked.key"), .unfit, "must not be encrypted"),
            (chain, certificates.path("other.key"), .unfit, "is not the key of the certificate"),
        ] {
            let error = #expect(throws: CertificateError.self) {
                try ServerCertificate(certificateFile: chain, keyFile: key)
            }
            #expect(error?.kind == kind && error?.description.contains(text) == true, "\(chain) \(key)")
        }
    }

    @Test func `the certificate is chosen by the host that is asked for`() async throws {
        let certificates = try await Certificates()
        for (name, hosts) in [
            ("first", "DNS:a.test,DNS:localhost"), ("wild", "DNS:*.b.test,DNS:B.test"), ("exact", "DNS:x.b.test"),
        ] { try await certificates.make(name, for: hosts) }
        let shown = try ["first", "wild", "exact"].map {
            try ServerCertificate(
                certificateFile: certificates.path("\($0).crt"), keyFile: certificates.path("\($0).key"))
        }
        #expect(shown[1].names == ["*.b.test", "b.test"])
        try await withRig(
            {
                $0.certificates = shown
                $0.certificateInterval = .milliseconds(20)
            }, origin: { _ in .ok("secret", ["Cache-Control": "max-age=60"]) }
        ) { rig in
            func shownFor(_ host: String?, _ version: String = "-tls1_3") async throws -> String {
                // What openssl says of the certificate it was shown.
                let name = host.map { ["-servername", $0] } ?? ["-noservername"]
                return try await Shell.run(
                    ["openssl", "s_client", "-connect", "127.0.0.1:\(rig.port)", version] + name)
            }
            for (host, name) in [
                ("a.test", "first"), ("A.TEST", "first"), ("b.test", "wild"), ("y.b.test", "wild"),
                ("x.b.test", "exact"),
                ("z.y.b.test", "first"), ("other.test", "first"), (nil, "first"),
            ] {
                #expect(try await shownFor(host).contains("subject=CN = \(name)"), "\(host ?? "none")")
            }
            #expect(try await shownFor("x.b.test", "-tls1_2").contains("subject=CN = exact"))
            let url = "https://x.b.test:\(rig.port)/"
            for option in ["--http2", "--http1.1"] {
                let said = try await Shell.run(
                    "curl", "-sS", "--cacert", certificates.path("exact.crt"), option, "--resolve",
                    "x.b.test:\(rig.port):127.0.0.1", url)
                #expect(said == "secret")
            }
            // One of them is renewed.
            try await certificates.make("next", for: "DNS:y.b.test")
            try certificates.replace("wild.crt", by: "next.crt")
            try certificates.replace("wild.key", by: "next.key")
            try await eventually { try await shownFor("y.b.test").contains("subject=CN = next") }
            #expect(try await shownFor("x.b.test").contains("subject=CN = exact"))
        }
    }

    @Test func `names of hosts and wildcards are told apart`() {
        let names = [["a.test"], ["*.a.test", "b.test"], ["x.a.test"]]
        for (host, expected) in [
            ("a.test", 0), ("x.a.test", 2), ("y.a.test", 1), ("B.Test", 1), ("z.y.a.test", nil), (".a.test", nil),
            ("test", nil), ("", nil), ("*.a.test", 1),
        ] { #expect(place(of: host, in: names) == expected, "\(host)") }
    }

    @Test(arguments: ["1.2", "1.3"])
    func `only clients with a certificate of the named authorities are served, and the log says why not`(tls: String)
        async throws
    {
        let certificates = try await Certificates()
        for name in ["client", "stranger"] { try await certificates.make(name) }
        let log = LogRecord()
        let shown = try ServerCertificate(
            certificateFile: certificates.path("server.crt"), keyFile: certificates.path("server.key"))
        try await withRig(
            {
                $0.certificates = [shown]
                $0.clientAuthorities = try TrustedAuthorities(file: certificates.path("client.crt"))
            }, logger: log.logger, origin: { _ in .ok("secret", ["Cache-Control": "max-age=60"]) }
        ) { rig in
            func curl(_ client: String?) async throws -> String {
                let own = client.map {
                    ["--cert", certificates.path("\($0).crt"), "--key", certificates.path("\($0).key")]
                }
                return try await Shell.run(
                    ["curl", "-sS", "--cacert", certificates.path("server.crt"), "--tls-max", tls] + (own ?? [])
                        + ["https://localhost:\(rig.port)/"])
            }
            #expect(try await curl("client") == "secret")
            #expect(log.lines.isEmpty)
            await #expect(throws: Shell.Failed.self) { try await curl(nil) }
            try await eventually { log.lines.contains("a client was refused: it showed no certificate") }
            // One line a second; those between are counted.
            try await eventually {
                _ = try? await curl("stranger")
                return log.lines.contains { $0.hasPrefix("a client was refused: its certificate") }
            }
            #expect(rig.gateway.metrics.failedHandshakes >= 2)
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `large answers come whole`() async throws {
        let body = String(repeating: "0123456789abcdef", count: 1 << 18)
        try await withSecureRig(body: body) { rig, certificates in
            for option in ["--http2", "--http1.1"] {
                for _ in 0..<2 {
                    let said = try await curl(certificates, option, "https://localhost:\(rig.port)/")
                    #expect(said == body)
                }
            }
        }
    }

    @Test func `shutting down closes idle connections`() async throws {
        try await withSecureRig { rig, _ in
            let client = try await rig.client()
            async let down: Void = rig.gateway.shutdown(deadline: .seconds(20))
            _ = await client.rest()
            await down
        }
    }
}

private func curl(_ certificates: Certificates, _ options: String...) async throws -> String {
    try await Shell.run(["curl", "-sS", "--cacert", certificates.path("old.crt")] + options)
}

/// A gateway with TLS; `old.crt` is a copy of its first certificate.
private func withSecureRig(
    _ configure: (inout GatewayConfiguration) throws -> Void = { _ in }, body: String = "secret",
    test: (Rig, Certificates) async throws -> Void
) async throws {
    let certificates = try await Certificates()
    try FileManager.default.copyItem(atPath: certificates.path("server.crt"), toPath: certificates.path("old.crt"))
    let certificate = try ServerCertificate(
        certificateFile: certificates.path("server.crt"), keyFile: certificates.path("server.key"))
    try await withRig(
        {
            $0.certificates = [certificate]
            $0.certificateInterval = .milliseconds(20)
            try configure(&$0)
        }, origin: { _ in .ok(body, ["Cache-Control": "max-age=60"]) }
    ) { try await test($0, certificates) }
}
