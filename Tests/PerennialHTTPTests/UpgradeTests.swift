import PerennialHTTP
import Testing

struct UpgradeTests {
    @Test(
        arguments: [
            ("GET", ["Connection": "Upgrade", "Upgrade": "websocket"], true),
            ("GET", ["connection": "keep-alive, upgrade", "upgrade": "WebSocket"], true),
            ("GET", ["Connection": "upgrade", "Upgrade": "h2c, websocket"], true),
            ("GET", ["Connection": "upgrade", "Upgrade": "h2c"], false),
            ("GET", ["Connection": "upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": ""], false),
            ("GET", ["Upgrade": "websocket"], false), ("GET", ["Connection": "upgrade"], false),
            ("GET", ["Connection": "close", "Upgrade": "websocket"], false),
            ("GET", ["Connection": "upgrade", "Upgrade": "websocket/13"], false),
            ("POST", ["Connection": "upgrade", "Upgrade": "websocket"], false),
            ("HEAD", ["Connection": "upgrade", "Upgrade": "websocket"], false),
        ] as [(String, HeaderFields, Bool)])
    func `a WebSocket is tunnelled, and no other protocol`(method: String, fields: HeaderFields, isTunnelled: Bool) {
        #expect(tunnelledProtocol(method: method, fields: fields) == (isTunnelled ? "websocket" : nil))
    }

    @Test(
        arguments: [
            (["Upgrade": "websocket"], true), (["upgrade": "WebSocket"], true), (["Upgrade": "h2c"], false),
            ([:], false),
            (["Upgrade": "websocket, h2c"], false), (["Upgrade": "websocket", "upgrade": "x"], false),
        ] as [(HeaderFields, Bool)])
    func `an origin agrees to what it was asked for, or to nothing`(fields: HeaderFields, isAgreed: Bool) {
        #expect(agrees(toUpgrade: "websocket", fields) == isAgreed)
    }
}
