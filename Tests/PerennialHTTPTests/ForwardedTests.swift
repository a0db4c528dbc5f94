import PerennialHTTP
import Testing

/// Whether the origin is told who a client is.
struct ForwardedTests {
    @Test(
        arguments: [
            (ForwardedRule.off, "10.0.0.1", "a.example", [:]),
            (
                .x, "10.0.0.1", "a.example:8080",
                [
                    "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example:8080",
                ]
            ),
            (.x, nil, "", ["X-Forwarded-Proto": "https"]),
            (.rfc, "10.0.0.1", "a.example", ["Forwarded": "for=10.0.0.1;proto=https;host=a.example"]),
            (
                .rfc, "2001:db8::1", "a.example:8080",
                ["Forwarded": "for=\"[2001:db8::1]\";proto=https;host=\"a.example:8080\""]
            ),
            (.rfc, nil, "", ["Forwarded": "for=unknown;proto=https"]),
        ] as [(ForwardedRule, String?, String, HeaderFields)])
    func `what is said of a client`(rule: ForwardedRule, address: String?, host: String, fields: HeaderFields) {
        #expect(rule.fields(address: address, scheme: "https", host: host) == fields)
    }
}
