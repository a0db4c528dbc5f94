import Perennial
import PerennialHTTP
import Testing

struct CacheControlTests {
    @Test func `Every directive is read`() {
        let directives = CacheControl(
            "no-store, no-cache, private, public, no-transform, must-revalidate, proxy-revalidate, must-understand, "
                + "immutable, only-if-cached, max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, "
                + "min-fresh=5, max-stale=6")
        var expected = CacheControl()
        expected.noStore = true
        expected.noCache = .everything
        expected.onlyPrivate = .everything
        expected.isPublic = true
        expected.noTransform = true
        expected.mustRevalidate = true
        expected.proxyRevalidate = true
        expected.mustUnderstand = true
        expected.immutable = true
        expected.onlyIfCached = true
        expected.maxAge = .seconds(1)
        expected.sharedMaxAge = .seconds(2)
        expected.staleWhileRevalidate = .seconds(3)
        expected.staleIfError = .seconds(4)
        expected.minFresh = .seconds(5)
        expected.maxStale = .seconds(6)
        #expect(directives == expected)
    }

    @Test(arguments: [
        ("max-age=60", 60), ("Max-Age=60", 60), ("max-age=\"60\"", 60), ("  max-age = 60 ", 60), (",,max-age=60,,", 60),
        ("max-age=060", 60), ("foo, max-age=60, bar=baz", 60), ("foo=\"a, max-age=1\", max-age=60", 60),
        ("max-age=60, max-age=1", 60), ("max-age=1, max-age=60", 1), ("\tmax-age=60\t,\tpublic", 60),
        ("max-age=2147483647", 2_147_483_647), ("max-age=2147483648", 2_147_483_648),
        ("max-age=2147483649", 2_147_483_648), ("max-age=99999999999999999999999999", 2_147_483_648),
        ("max-age=-1", 0), ("max-age=1.5", 0), ("max-age=", 0), ("max-age", 0), ("max-age=abc", 0), ("max-age=+5", 0),
        ("max-age=1 0", 0), ("max-age='60'", 0), ("max-age=60; public", 0), ("max-age==60", 0), ("max-age=0x10", 0),
    ])
    func `Seconds are whole, the first counts, and what isn't a number is stale`(text: String, seconds: Int64) {
        #expect(CacheControl(text).maxAge == .seconds(seconds))
    }

    @Test(arguments: ["", "foo", "smax-age=60", "max-age-=60", "x=\"max-age=60\"", "max=age=60", "\"max-age=60\""])
    func `Unknown directives say nothing`(text: String) {
        #expect(CacheControl(text) == CacheControl())
    }

    @Test(arguments: [
        ("no-cache", CacheControl.Scope.everything),
        ("no-cache=\"Set-Cookie, X-A\"", .fields(["set-cookie", "x-a"])),
        ("no-cache=Set-Cookie", .fields(["set-cookie"])),
        ("no-cache=\"a\", no-cache=\"b, a\"", .fields(["a", "b"])),
        ("no-cache=\"a\", no-cache", .everything),
        ("no-cache, no-cache=\"a\"", .everything),
        ("no-cache=\"\"", .everything),
        ("no-cache=\"a b\"", .everything),
        ("no-cache=\"a", .everything),
    ])
    func `Fields may be named, and what forbids more wins`(text: String, scope: CacheControl.Scope) {
        #expect(CacheControl(text).noCache == scope)
        #expect(CacheControl(text.replacing("no-cache", with: "private")).onlyPrivate == scope)
    }

    @Test func `A quote that never closes hides nothing`() {
        #expect(CacheControl("private=\"a, no-store, max-age=5").noStore)
        #expect(CacheControl("foo=\"a\\\", no-store").noStore)
        #expect(!CacheControl("foo=\"a\\\", no-store\"").noStore)
    }

    @Test func `Several lines are one list`() {
        let directives = CacheControl(["Cache-Control": "max-age=5", "X": "no-store", "cache-control": "public"])
        #expect(directives.maxAge == .seconds(5))
        #expect(directives.isPublic)
        #expect(!directives.noStore)
    }

    @Test func `max-stale without a number is any age`() {
        #expect(CacheControl("max-stale").maxStale == .forever)
        #expect(CacheControl("max-stale=5").maxStale == .seconds(5))
    }

    @Test func `Wishes that can't be read are none`() {
        #expect(CacheControl("max-stale=x").maxStale == nil)
        #expect(CacheControl("max-stale=-1, max-stale=5").maxStale == .seconds(5))
        #expect(CacheControl("min-fresh=x").minFresh == nil)
        #expect(CacheControl("min-fresh").minFresh == nil)
    }
}
