import PerennialHTTP
import Testing

struct CacheStatusTests {
    @Test(arguments: [
        (CacheStatus(hit: true, timeToLive: -610, detail: "refreshing"), "perennial; hit; ttl=-610; detail=refreshing"),
        (CacheStatus(hit: true, timeToLive: 0), "perennial; hit; ttl=0"),
        (
            CacheStatus(forward: .uriMiss, forwardStatus: 200, timeToLive: 60, stored: true, collapsed: true),
            "perennial; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed"
        ),
        (CacheStatus(forward: .method), "perennial; fwd=method"),
        (CacheStatus(), "perennial"),
        (CacheStatus(hit: true, key: "https://a/\"b\\"), "perennial; hit; key=\"https://a/\\\"b\\\\\""),
        (CacheStatus(detail: "not stored: ü\n"), "perennial; detail=\"not stored: ??\""),
        (CacheStatus(detail: "a:b/c"), "perennial; detail=a:b/c"),
        (CacheStatus(detail: "1a"), "perennial; detail=\"1a\""),
        (CacheStatus(detail: ""), "perennial; detail=\"\""),
        (CacheStatus(timeToLive: .min), "perennial; ttl=-999999999999999"),
    ])
    func `A status is written as a structured field`(status: CacheStatus, text: String) {
        #expect(status.description == text)
    }

    @Test func `Caches nearer to the origin come first`() {
        let status = CacheStatus(hit: true)
        #expect(status.appended(to: nil) == "perennial; hit")
        #expect(status.appended(to: " ") == "perennial; hit")
        #expect(status.appended(to: "cdn; fwd=miss") == "cdn; fwd=miss, perennial; hit")
    }

    @Test func `Every reason to go forward is one of the RFC's`() {
        #expect(
            Set(CacheStatus.Forward.allCases.map(\.rawValue)) == [
                "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial",
            ])
    }
}
