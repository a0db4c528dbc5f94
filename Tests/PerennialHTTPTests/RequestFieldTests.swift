import PerennialTesting
import Testing

@testable import PerennialHTTP

/// The parser, the rules of caching, keys and forwarding see the same in a request's field, however its name is
/// written.
@Suite struct RequestFieldTests {
    /// Every name of the table, and names that its beginnings and endings are for.
    static let known: [(name: String, class: RequestFieldClass)] =
        RequestFieldClass.names.flatMap { group in group.names.map { ("\($0)", group.class) } }
        + RequestFieldClass.claimPrefixes.flatMap { [("\($0)x", .claim), ("\($0)a-token", .claim), ("\($0)", .claim)] }
        + RequestFieldClass.secretEndings.flatMap {
            [("\($0)", .credential), ("a-\($0)", .credential), ("x-some-\($0)", .credential), ("x\($0)", .ordinary)]
        }.filter { !["xsession-id"].contains($0.0) }

    private func classOfBytes(_ name: String) -> RequestFieldClass {
        let bytes = Array("GET: \(name)!".utf8)
        return RequestFieldClass(bytes.span, at: 5..<bytes.count - 1)
    }

    /// `name` in another case, with some of its dashes as underscores.
    private func disguised(_ name: String, using generator: inout SeededGenerator) -> String {
        String(
            name.map { letter in
                if letter == "-" { return Bool.random(using: &generator) ? "-" : "_" }
                return Bool.random(using: &generator) ? Character(letter.uppercased()) : letter
            })
    }

    @Test func `a name is of its class in any case, with underscores, as text and among bytes`() {
        var generator = SeededGenerator(seed: 31)
        for (name, expected) in Self.known {
            for _ in 0..<20 {
                let written = disguised(name, using: &generator)
                let isDisguised = expected == .framing && written.contains("_")
                #expect(RequestFieldClass(written) == (isDisguised ? .disguisedFraming : expected), "\(written)")
                #expect(classOfBytes(written) == RequestFieldClass(written), "\(written)")
                #expect(RequestFieldClass(foldedName(written)) == expected, "\(written)")
            }
        }
    }

    @Test func `other names are the same as text and among bytes`() {
        var generator = SeededGenerator(seed: 32)
        for _ in 0..<5000 {
            var name = generator.text(upTo: 20, alphabet: "xXsS-_ky")
            if let known = Self.known.randomElement(using: &generator)?.name, Bool.random(using: &generator) {
                name = Bool.random(using: &generator) ? name + known : known + name
            }
            #expect(classOfBytes(name) == RequestFieldClass(name), "\(name)")
        }
    }

    @Test func `no name is there twice, and all are written in their normal form`() {
        let names = RequestFieldClass.names.flatMap(\.names).map(\.description)
        #expect(Set(names).count == names.count)
        for name in names { #expect(foldedName(name) == name && name.isToken) }
        for name in hopByHopNames {
            #expect([.hopByHop, .connection, .upgrade, .framing, .proxyCredential].contains(RequestFieldClass(name)))
        }
    }

    @Test(arguments: [
        "X-Forwarded-Host", "x-forwarded-for", "X_Forwarded_Host", "Forwarded", "X-Original-URL", "X-Rewrite-Url",
        "X-Real-IP", "X-Host", "True-Client-IP", "Proxy", "X-Forward-For", "CloudFront-Forwarded-Proto", "CF-Visitor",
        "X-Arr-SSL", "HTTPS", "X-Remote-User", "Remote_User", "X-Auth-Request-Email", "X-Auth-Request-Access-Token",
        "X-SSL-Client-Verify", "SSL_Client_S_DN", "Client-Cert", "Client-Cert-Chain", "X-Override-URL",
        "X-Middleware-Subrequest", "x-middleware-prefetch", "X-Now-Route-Matches", "X-Azure-ClientIP",
    ])
    func `what only a server in front could know is a claim`(name: String) {
        #expect(RequestFieldClass(name) == .claim)
    }

    @Test(arguments: [
        "Authorization", "X-Api-Key", "X_Api_Key", "apikey", "Api-Key", "Private-Token", "X-Goog-Api-Key",
        "X-Auth-Token", "X-Access-Token", "X-CSRF-Token", "X-XSRF-TOKEN", "X-Amz-Security-Token", "Job-Token",
        "Deploy-Token", "Ocp-Apim-Subscription-Key", "X-Emby-Authorization", "X-Session", "X-Session-Id", "Signature",
        "X-Client-Secret", "X-Password", "X-Plex-Token", "X-Shopify-Access-Token", "X-Vault-Token", "DPoP", "Token",
    ])
    func `what looks like a secret is a credential, which keeps a request and its answer from the cache`(name: String) {
        #expect(RequestFieldClass(name) == .credential)
        let fields: HeaderFields = [name: "s3cret", "Accept": "a"]
        #expect(admission(of: "GET", fields: fields) == .pass(.authorization))
        #expect(admission(of: "GET", fields: fields, allowances: .authorization) == .cache)
        let answer = response(200, ["Cache-Control": "max-age=60"])
        #expect(storability(of: answer, method: "GET", requestFields: fields) == .doNotStore(.authorization))
        // Nor is it written down anywhere where that is lifted.
        let vary = Vary(names: [name, "accept"])
        #expect(vary.credentials(in: fields) == [name.lowercasedASCII])
        #expect(refreshFields(of: fields, vary: vary) == ["accept": "a"])
        #expect(passableTrailers(fields).isEmpty || passableTrailers(fields).map(\.name) == ["Accept"])
        #expect(complaint(aboutSelectingField: name) != nil)
    }

    @Test(arguments: [
        "Host", "Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Sec-Fetch-Site", "Sec-Fetch-Mode",
        "Sec-Fetch-Dest", "Sec-Fetch-User", "Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "DNT", "Sec-GPC",
        "Upgrade-Insecure-Requests", "Priority", "Referer", "X-Requested-With", "Via", "Origin", "Last-Event-ID",
        "Device-Memory", "Save-Data", "Purpose", "Sec-Purpose", "Service-Worker", "Early-Data", "TE", "traceparent",
        "tracestate", "X-Request-Id", "Max-Forwards", "Content-Type", "Access-Control-Request-Method", "X-Forward",
        "Idempotency-Key", "Sec-WebSocket-Key", "Surrogate-Key", "Accept-Signature", "X-Amz-Date", "Monkey",
        "X-Tenant", "Accept-Datetime", "Keep-Alive", "Accept_Language",
    ])
    func `what browsers and programs send to everybody keeps nothing from the cache`(name: String) throws {
        #expect(!RequestFieldClass(name).isRemarkable && !RequestFieldClass(name).isSecret)
        #expect(admission(of: "GET", fields: [name: "a"]) == .cache)
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\(name == "Host" ? "A" : name): a\r\n\r\n".utf8)
        #expect(try RequestHead.scan(bytes.span, limits: HeadLimits(size: 1000, fields: 10))?.isPlain == true)
    }

    @Test func `a field that is remarkable keeps a request from being answered at once, however it is written`() throws
    {
        var generator = SeededGenerator(seed: 33)
        for (name, expected) in Self.known where expected.isRemarkable && expected != .framing {
            let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\(disguised(name, using: &generator)): a\r\n\r\n".utf8)
            let head = try RequestHead.scan(bytes.span, limits: HeadLimits(size: 1000, fields: 10))
            #expect(head?.isPlain == false, "\(name)")
        }
    }

    @Test(arguments: ["X_HTTP_Method_Override", "x-http_method", "X_Method_Override"])
    func `a method override passes, underscores or not`(name: String) {
        #expect(admission(of: "GET", fields: [name: "DELETE"]) == .pass(.override))
    }

    @Test func `a selecting field counts in each way an origin may read it`() {
        let vary = Vary(names: ["accept-language"])
        #expect(vary.variantKey(for: ["Accept_Language": "de"]) == "accept-language=de")
        #expect(vary.variantKey(for: ["Accept-Language": "en", "Accept_Language": "de"]) == "accept-language=en,de")
        #expect(Vary(names: ["x_a"]).variantKey(for: ["X-A": "1", "X_A": "2"]) == "x_a=1,%202")
        #expect(
            !vary.matches(
                selecting: ["accept-language": "en"], request: ["Accept-Language": "en", "Accept_Language": "de"]))
    }

    @Test func `a framing field can't be sent on under a name that looks like it`() {
        for name in ["Content_Length", "transfer_encoding", "TRANSFER_ENCODING"] {
            #expect(RequestFieldClass(name) == .disguisedFraming)
        }
        for name in ["Content-Length", "Content_Type", "Content_Lengths", "X_Y", ""] {
            #expect(RequestFieldClass(name) != .disguisedFraming)
        }
    }
}
