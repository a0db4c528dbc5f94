import Testing

@testable import PerennialHTTP

struct AcceptedCodingsTests {
    @Test(
        arguments: [
            (nil, ""), ("", ""), ("identity", ""), ("deflate, compress", ""), ("identity;q=0.5", ""),
            ("gzip", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip"), ("deflate, gzip", "gzip"),
            ("gzip;q=1.0, identity; q=0.5", "gzip"), ("gzip;q=0.001", "gzip"), ("gzip ; Q=0 , br", "br"),
            ("gzip, deflate, br", "gzip, br"), ("br, gzip", "gzip, br"),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip, br, zstd"),
            ("gzip, deflate, br, zstd", "gzip, br, zstd"), ("zstd,br,gzip,dcb,dcz", "gzip, br, zstd"),
            ("*", "gzip, br, zstd"), ("*, br;q=0", "gzip, zstd"), ("gzip, *;q=0", "gzip, identity;q=0"),
            ("*;q=0", "identity;q=0"), ("identity;q=0", "identity;q=0"), ("*;q=0, identity", ""),
            ("gzip;q=0", ""), ("gzip;q=0.000, gzip", ""), ("gzip;q=00.0, br;q=0", ""), ("gzip;q=high", "gzip"),
            ("gzip;level=9;q=0", ""), ("gzip;q", "gzip"), (",, ,", ""), ("g zip", ""), (";q=0", ""),
        ] as [(String?, String)])
    func `what a client takes is reduced to what origins choose from`(value: String?, normal: String) {
        #expect(AcceptedCodings(value).fieldValue == normal)
        // What is sent to the origin means the same once more.
        #expect(AcceptedCodings(AcceptedCodings(value).fieldValue) == AcceptedCodings(value))
    }

    @Test func `the origin is sent the normal form, or nothing where the client sent nothing`() {
        #expect(withNormalisedCodings(["Accept": "a"]) == ["Accept": "a"])
        #expect(withNormalisedCodings(["Accept-Encoding": "deflate"]) == ["Accept-Encoding": "identity"])
        #expect(withNormalisedCodings(["Accept-Encoding": ""]) == ["Accept-Encoding": "identity"])
        #expect(
            withNormalisedCodings(["Accept-Encoding": "zstd", "X": "1", "Accept_Encoding": "gzip, deflate"])
                == ["X": "1", "Accept-Encoding": "gzip, zstd"])
    }

    @Test(
        arguments: [
            ("gzip, br", "gzip", true), ("gzip, br", nil, true), ("gzip", "gzip, br", true), (nil, nil, true),
            ("br", "gzip", false), ("br, zstd", "br", true),
            (nil, "gzip", false), ("gzip, br", "gzip, *;q=0", false), ("gzip, *;q=0", "gzip", true),
        ] as [(String?, String?, Bool)])
    func `a response that was not encoded is for those who take fewer codings, too`(
        made: String?, wanted: String?, isSelected: Bool
    ) {
        func request(_ value: String?) -> HeaderFields {
            value.map { ["Accept-Encoding": $0, "Accept-Language": "en"] } ?? ["Accept-Language": "en"]
        }
        let vary = Vary(names: ["accept-encoding", "accept-language"])
        var stored = StoredResponse(
            status: 200, fields: [:], body: [], requestFields: refreshFields(of: request(made), vary: vary),
            vary: vary.names)
        #expect(stored.isSelected(by: request(wanted)) == isSelected)
        var other = request(wanted)
        other["Accept-Language"] = "de"
        #expect(!stored.isSelected(by: other))
        stored.fields = ["Content-Encoding": "gzip"]
        #expect(stored.isSelected(by: request(wanted)) == (AcceptedCodings(made) == AcceptedCodings(wanted)))
    }
}
