import Foundation
import HummingbirdTesting
import NIOCore

func decode<Value: Decodable>(_ type: Value.Type, _ response: TestResponse) throws -> Value {
    try JSONDecoder().decode(type, from: Data(response.body.readableBytesView))
}
