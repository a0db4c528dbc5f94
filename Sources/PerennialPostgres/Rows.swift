internal import CPostgres

/// What a statement gave, in PostgreSQL's binary form. Valid until it is dropped.
final class Rows {
    private let result: OpaquePointer
    let count: Int

    init(_ result: OpaquePointer) {
        self.result = result
        count = Int(PQntuples(result))
    }

    deinit {
        PQclear(result)
    }

    private func value(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer? {
        guard PQgetisnull(result, Int32(row), Int32(column)) == 0,
            let start = PQgetvalue(result, Int32(row), Int32(column))
        else { return nil }
        return UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, Int32(row), Int32(column))))
    }

    /// A number of 2, 4 or 8 bytes.
    func number(_ row: Int, _ column: Int) -> Int64? {
        guard let bytes = value(row, column) else { return nil }
        switch bytes.count {
        case 8: return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
        case 4: return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
        case 2: return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
        default: return nil
        }
    }

    func flag(_ row: Int, _ column: Int) -> Bool? {
        value(row, column).map { $0.count == 1 && $0[0] != 0 }
    }

    func bytes(_ row: Int, _ column: Int) -> [UInt8]? {
        value(row, column).map { Array($0) }
    }

    func text(_ row: Int, _ column: Int) -> String? {
        value(row, column).map { bytes in
            bytes.contains(1) ? unescaped(bytes) : String(decoding: bytes, as: UTF8.self)
        }
    }

    /// An array of texts without NULLs, or of numbers of 8 bytes with them.
    private func elements(_ row: Int, _ column: Int) -> [UnsafeRawBufferPointer?]? {
        guard let bytes = value(row, column), bytes.count >= 12 else { return nil }
        func number(_ offset: Int) -> Int {
            Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
        }
        guard number(0) > 0 else { return [] }
        guard number(0) == 1, bytes.count >= 20 else { return nil }
        var elements: [UnsafeRawBufferPointer?] = []
        var offset = 20
        for _ in 0..<number(12) {
            guard offset + 4 <= bytes.count else { return nil }
            let length = number(offset)
            offset += 4
            if length < 0 {
                elements.append(nil)
                continue
            }
            guard offset + length <= bytes.count else { return nil }
            elements.append(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]))
            offset += length
        }
        return elements
    }

    func texts(_ row: Int, _ column: Int) -> [String]? {
        elements(row, column)?.compactMap { $0.map { unescaped($0) } }
    }

    func numbers(_ row: Int, _ column: Int) -> [Int64?]? {
        elements(row, column)?.map { bytes in
            bytes.flatMap { $0.count == 8 ? Int64(bigEndian: $0.loadUnaligned(as: Int64.self)) : nil }
        }
    }
}
