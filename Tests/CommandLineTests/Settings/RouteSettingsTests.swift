import Perennial
import PerennialGateway
import PerennialHTTP
import Testing

@testable import perennial

/// Origins and routes of the configuration file.
struct RouteSettingsTests {
    @Test func `origins and routes are read, with secrets from the environment`() throws {
        let routes = try routes(
            """
            refresh-after: 1h
            expire-after: 7d
            timeout: 20s
            origin: https://rest.example
            origins:
              github:
                url: https://api.github.com
                fields:
                  Authorization: Bearer ${GITHUB_TOKEN}
                  X-Two: ${A}-${B}
                rate: 5000/h
                concurrency: 8
                longest-retry-after: 2m
                timeout: 10s
              plain: {url: "http://plain.example/base"}
            routes:
              - name: github
                host: [api.example.com, "*.example.net"]
                path: /github
                strip-path: true
                origin: github
                refresh-after: 10m
                soft-timeout: 2s
                allow: [cookies, private]
                query: {drop: [utm_*, fbclid], sort: true}
                cookies: {keep: [session, lang], drop: _ga*}
                vary:
                  add: Accept-Language
                  ignore: [User-Agent]
              - host: plain.example.com
                origin: plain
                freshness: origin
                client-directives: ignore
                cors: true
                max-body: 1MB
                query:
                  keep: page, q
              - path: /other
                origin: https://other.example
            """, ["GITHUB_TOKEN": "s3cret", "A": "1", "B": "2"])
        #expect(routes.map(\.name) == ["github", "route 2", "route 3", "default"])
        let github = routes[0]
        #expect(github.origin.url.description == "https://api.github.com")
        #expect(github.origin.fields == ["Authorization": "Bearer s3cret", "X-Two": "1-2"])
        #expect(github.origin.concurrency == 8)
        #expect(github.origin.longestRetryAfter == .minutes(2))
        #expect(routes[1].origin.longestRetryAfter == .minutes(10))
        #expect(github.origin.rate.map { ($0.perSecond * 3600).rounded() } == 5000)
        #expect(github.origin.timeout == .seconds(10))
        #expect(github.address.hosts.map(\.description) == ["api.example.com", "*.example.net"])
        #expect(github.address.stripsPath)
        #expect(try github.rules.freshness == .policy(.init(refreshAfter: .minutes(10), expireAfter: .days(7))))
        #expect(github.rules.softTimeout == .seconds(2))
        #expect(github.rules.allowances == [.cookies, .onlyPrivate])
        #expect(github.rules.query == QueryRules(dropped: [Wildcard("utm_*"), Wildcard("fbclid")], isSorted: true))
        #expect(
            github.rules.cookies
                == CookieRules(kept: [Wildcard("session"), Wildcard("lang")], dropped: [Wildcard("_ga*")]))
        #expect(github.rules.vary == VaryRules(added: ["accept-language"], ignored: ["user-agent"]))
        #expect(routes[1].rules.freshness == .origin())
        #expect(routes[1].rules.clientDirectives == .ignore)
        #expect(routes[1].rules.maxBody == 1_000_000)
        #expect(routes[1].rules.cors)
        #expect(!github.rules.cors)
        #expect(routes[1].rules.query == QueryRules(kept: [Wildcard("page"), Wildcard("q")]))
        #expect(routes[1].origin.timeout == .seconds(20))
        #expect(routes[2].origin.url.description == "https://other.example")
        #expect(routes[3].address.isForAll)
        #expect(try routes[3].rules.freshness == .policy(.init(refreshAfter: .hours(1), expireAfter: .days(7))))
    }

    @Test func `an empty list of parameters to keep means none`() throws {
        let routes = try routes("routes: [{origin: 'https://a.example', query: {keep: []}, cookies: {keep: []}}]")
        #expect(routes[0].rules.query == QueryRules(kept: []))
        #expect(routes[0].rules.cookies == CookieRules(kept: []))
    }

    @Test func `limits of a route's own hold although the origin's rule elsewhere`() throws {
        let routes = try routes(
            """
            freshness: origin
            routes: [{origin: "https://a.example", refresh-after: 1m}]
            """)
        #expect(try routes[0].rules.freshness == .policy(.init(refreshAfter: .minutes(1), expireAfter: .days(7))))
    }

    @Test func `the host that is sent is a route's to say, else its origin's, else everybody's`() throws {
        let routes = try routes(
            """
            host: Client.example:8080
            origin: https://rest.example
            origins:
              named: {url: "https://named.example", host: client}
              plain: {url: "https://plain.example"}
            routes:
              - {path: /a, origin: named}
              - {path: /b, origin: named, host: b.example, send-host: origin}
              - {path: /c, origin: plain}
              - {path: /d, origin: "https://d.example"}
            """)
        let name = SentHost.name(try HostName("client.example:8080"))
        #expect(routes.map(\.address.sentHost) == [.client, .origin, name, name, name])
        #expect(routes[1].address.hosts.map(\.description) == ["b.example"])
    }

    @Test(arguments: [
        ("routes: 5", "“routes” in p.yaml:1 must be a mapping"),
        ("routes: [5]", "“routes” in p.yaml:1 must be a mapping"),
        ("routes: [{}]", "route “route 1” in p.yaml:1 has no origin"),
        ("routes: [{origin: nowhere}]", "there is no origin “nowhere”"),
        ("origins: {github: {url: 'https://a'}}\nroutes: [{origin: gihub}]", "did you mean “github”?"),
        ("origins: [{a: 1}]\nroutes: [{origin: a}]", "“a” of “origins” in p.yaml:1 must be a mapping"),
        ("origins: {a: {}}\nroutes: [{origin: a}]", "origin “a” in p.yaml:1 has no url"),
        (
            "origins: {a: {url: 'https://a', rat: 1/s}}\nroutes: [{origin: a}]",
            "unknown key “rat” in p.yaml:1; did you mean “rate”?"
        ),
        ("origins: {a: {url: ftp://a}}\nroutes: [{origin: a}]", "“url” of origin “a” in p.yaml:1: origin \"ftp://a\""),
        (
            "origins:\n  a:\n    url: https://a\n    fields:\n      X-Key: ${NOT_THERE}\nroutes: [{origin: a}]",
            "“X-Key” of fields of origin “a” in p.yaml:5: it needs NOT_THERE in the environment"
        ),
        ("origins: {a: {url: 'https://a', fields: {X: '${A'}}}\nroutes: [{origin: a}]", "no “}” ends it"),
        ("origins: {a: {url: 'https://a', fields: {Connection: x}}}\nroutes: [{origin: a}]", "how messages are sent"),
        (
            "origins: {a: {url: 'https://a', fields: 5}}\nroutes: [{origin: a}]",
            "“fields” of origin “a” in p.yaml:1 must be a mapping"
        ),
        ("routes: [{origin: 'https://a', host: 'a b'}]", "“host” of route “route 1” in p.yaml:1: host \"a b\""),
        ("routes: [{origin: 'https://a', host: []}]", "“host” of route “route 1” in p.yaml:1 is empty"),
        ("routes: [{origin: 'https://a', path: ''}]", "“path” of route “route 1” in p.yaml:1 is empty"),
        (
            "origins: {a: {url: 'https://me:secret@a'}}\nroutes: [{origin: a}]",
            "origin \"https://***@a\" has credentials"
        ),
        ("routes: [{origin: 'https://a', path: users}]", "doesn't begin with a slash"),
        ("routes: [{origin: 'https://a', path: '/*', strip-path: yes}]", "can't be stripped"),
        ("routes: [{origin: 'https://a', strip-path: maybe}]", "neither true nor false"),
        (
            "routes: [{origin: 'https://a', refresh-after: 2h, expire-after: 1h}]",
            "“expire-after” of route “route 1” in p.yaml:1 (1h) is shorter than “refresh-after” of route “route 1” in p.yaml:1 (2h)"
        ),
        ("routes: [{origin: 'https://a', soft-timeout: 1m}]", "is longer than the origin's time-out (30s)"),
        ("routes: [{origin: 'https://a', query: {kept: a}}]", "unknown key “kept”"),
        ("routes: [{origin: 'https://a', query: {keep: {a: b}}}]", "must be one value"),
        ("routes: [{origin: 'https://a', cors: true, vary: {ignore: Origin}}]", "by Origin, which “vary” ignores"),
        ("routes: [{origin: 'https://a', cookies: {ignore: a}}]", "cookies has keep and drop"),
        (
            "routes: [{origin: 'https://a', vary: {ignore: [Cookie]}}]",
            "pass uncached, whatever Vary says; say which cookies don't count, like “cookies: {drop: [_ga*]}”"
        ),
        ("routes: [{origin: 'https://a', vary: {add: Cookie}}]", "credentials, which don't belong in keys"),
        (
            "routes: [{origin: 'https://a', send-host: 'a b'}]",
            "“send-host” of route “route 1” in p.yaml:1: host \"a b\""
        ),
        ("routes: [{origin: 'https://a', listen: 'x:1'}]", "unknown key “listen” in p.yaml:1"),
        (
            "routes: [{origin: 'https://a'}, {origin: 'https://b', path: /x}]",
            "p.yaml:1: no request gets to route “route 2”: all of its requests go to “route 1”, which comes before it; put “route 2” first"
        ),
        (
            "routes: [{origin: 'https://a', name: x, host: a.b}, {origin: 'https://b', name: x}]",
            "two routes have the name “x”"
        ),
        (
            "routes:\n- {origin: 'https://a', path: /a}\n- {origin: 'https://b', path: /a}",
            "p.yaml:3: routes “route 1” and “route 2” are for the same requests, so none gets to “route 2”; give one"
        ),
        (
            "routes: []",
            "“routes” in p.yaml:1 is empty; add a route with a line like “- origin: https://api.example.com”"
        ),
        ("origins: {a: {url: 'https://a'}}", "“origins” in p.yaml:1 has nobody to use it; add “routes”"),
        ("origin: https://a\nfields: {A: b}", "unknown key “fields” in p.yaml:2; it belongs to one of “origins”"),
        ("origin: https://a\npath: /b", "unknown key “path” in p.yaml:2; it belongs to one of “routes”"),
        (
            "routes: [{origin: 'https://a', fields: {A: b}}]",
            "unknown key “fields” in p.yaml:1; it belongs to one of “origins”"
        ),
        ("origins: {a: {url: 'https://a', path: /x}}\nroutes: [{origin: a}]", "it belongs to one of “routes”"),
    ])
    func `a mistake is told with its place`(text: String, expected: String) {
        let failure = #expect(throws: Failure.self) { try routes(text) }
        #expect(failure?.code == .configuration)
        #expect(failure?.description.contains(expected) == true, "\(failure?.description ?? "")")
    }

    @Test func `all mistakes of a file are told at once, each with its line`() throws {
        let text = """
            timeout: soon
            refesh-after: 1h
            origins:
              a:
                url: https://a.example
                rate: often
                fields:
                  X-One: ${NOT_THERE}
                  Connection: x
              b: {url: "ftp://b.example"}
            routes:
              - origin: a
                path: users
                strip-path: maybe
              - origin: b
                soft-timeout: 5
              - origin: c
                query: {kept: [a]}
                fields: {A: b}
            """
        let failure = #expect(throws: Failure.self) { try routes(text) }
        let lines = failure?.lines ?? []
        let expected = [
            "p.yaml:2; did you mean “refresh-after”?", "“X-One” of fields of origin “a” in p.yaml:8",
            "“Connection” of fields of origin “a” in p.yaml:9", "“rate” of origin “a” in p.yaml:6",
            "“timeout” in p.yaml:1: “soon”", "“url” of origin “b” in p.yaml:10",
            "“path” of route “route 1” in p.yaml:13",
            "“strip-path” of route “route 1” in p.yaml:14", "“soft-timeout” of route “route 2” in p.yaml:16",
            "“origin” of route “route 3” in p.yaml:17: there is no origin “c”", "unknown key “kept” in p.yaml:18",
            "unknown key “fields” in p.yaml:19",
        ]
        for text in expected {
            #expect(lines.count { $0.contains(text) } == 1, "\(text)\n\(lines.joined(separator: "\n"))")
        }
        #expect(lines.count == expected.count, "\(lines.joined(separator: "\n"))")
    }

    private func routes(_ text: String, _ environment: [String: String] = [:]) throws -> [Route] {
        var routes: [Route] = []
        try withFile(text) { path in
            do {
                let problems = Problems()
                let settings = try Settings(config: path, environment: environment, problems: problems)
                routes = GivenRules().routes(settings, problems)
                try problems.check()
            } catch let failure as Failure {
                // The file is a test's own.
                let problems = Problems()
                for line in failure.lines {
                    problems.note(Failure(failure.code, line.replacing(path, with: "p.yaml")))
                }
                try problems.check()
            }
        }
        return routes
    }
}
