/// One stored value: what a column of a strict SQLite table can hold.
///
/// Equality and hashing are of bits (P24): text by its UTF-8 bytes, never by canonical equivalence; doubles by
/// their bit pattern after ``canonical`` (no NaN, no −0.0).
public enum Value: Sendable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])
}

extension Value: Hashable {
    public static func == (left: Value, right: Value) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.integer(let a), .integer(let b)): a == b
        case (.real(let a), .real(let b)): a.bitPattern == b.bitPattern
        case (.text(let a), .text(let b)): a.utf8.elementsEqual(b.utf8)
        case (.blob(let a), .blob(let b)): a == b
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .integer(let value): hasher.combine(value)
        case .real(let value): hasher.combine(value.bitPattern)
        case .text(let value): for byte in value.utf8 { hasher.combine(byte) }
        case .blob(let value): hasher.combine(value)
        }
    }
}

/// The order of canonical output and of `max`, `min`: null, numbers, text by bytes, blob by bytes. Total for canonical
/// values; an integer stands before the real of equal amount.
extension Value: Comparable {
    public static func < (left: Value, right: Value) -> Bool {
        switch (left, right) {
        case (.integer(let a), .integer(let b)): a < b
        case (.real(let a), .real(let b)): a < b
        case (.integer(let a), .real(let b)): !isBelow(b, a)
        case (.real(let a), .integer(let b)): isBelow(a, b)
        case (.text(let a), .text(let b)): a.utf8.lexicographicallyPrecedes(b.utf8)
        case (.blob(let a), .blob(let b)): a.lexicographicallyPrecedes(b)
        default: left.rank < right.rank
        }
    }

    /// Exactly, where a conversion of the integer would round.
    private static func isBelow(_ real: Double, _ integer: Int64) -> Bool {
        guard real < 0x1p63 else { return false }
        guard real >= -0x1p63 else { return true }
        let whole = real.rounded(.down)
        return Int64(whole) < integer
    }

    private var rank: Int {
        switch self {
        case .null: 0
        case .integer, .real: 1
        case .text: 2
        case .blob: 3
        }
    }
}

extension Value {
    public var isNull: Bool { if case .null = self { true } else { false } }
    public var textValue: String? { if case .text(let value) = self { value } else { nil } }
    public var integerValue: Int64? { if case .integer(let value) = self { value } else { nil } }
    public var recordID: RecordID? { textValue.flatMap { RecordID($0) } }

    /// A record's id as it stands in a reference column.
    public init(_ id: RecordID) { self = .text(id.description) }

    /// The one form that a value may be kept in, or nil where it may not exist (NaN; NUL in text).
    public var canonical: Value? {
        switch self {
        case .real(let value):
            if value.isNaN { return nil }
            return .real(value == 0 ? 0 : value)
        case .text(let value): return value.utf8.contains(0) ? nil : self
        default: return self
        }
    }
}

/// What a field's values mean; decides the column's storage class and what is accepted.
public enum FieldType: Hashable, Sendable {
    case integer
    case double
    case text
    case blob
    case bool
    /// `YYYY-MM-DD`, proleptic Gregorian; shown as Jalali where wanted.
    case date
    /// Milliseconds since 1970-01-01T00:00:00Z.
    case instant
    /// Integer minor units; the ISO 4217 code stands in the field named `currency`, of the same group.
    case money(currency: String)
    /// A set of texts: a JSON array, sorted by bytes, without repeats.
    case set
    /// One of the listed words.
    case enumeration([String])
    /// The id of a record of `table`. Hard references carry a real foreign key (rule D3).
    case reference(table: String)

    /// SQLite's (and the bare PostgreSQL equivalent's) storage class.
    public var storage: StorageClass {
        switch self {
        case .integer, .bool, .instant, .money: .integer
        case .double: .real
        case .blob: .blob
        case .text, .date, .set, .enumeration, .reference: .text
        }
    }

    public var name: String {
        switch self {
        case .integer: "integer"
        case .double: "double"
        case .text: "text"
        case .blob: "blob"
        case .bool: "bool"
        case .date: "date"
        case .instant: "instant"
        case .money: "money"
        case .set: "set"
        case .enumeration: "enum"
        case .reference: "reference"
        }
    }
}

public enum StorageClass: String, Hashable, Sendable { case integer, real, text, blob }

extension FieldType {
    /// Limit on one text or blob value, in bytes.
    public static let valueBytesMax = 1 << 20

    /// The canonical form of `value` as this type, or why it cannot be one. Null always passes here.
    public func admit(_ value: Value) -> Result<Value, ValueError> {
        guard let canonical = value.canonical else {
            if case .real = value { return .failure(.notANumber) }
            return .failure(.nulInText)
        }
        switch (self, canonical) {
        case (_, .null): return .success(.null)
        case (.integer, .integer), (.instant, .integer), (.money, .integer), (.double, .real):
            return .success(canonical)
        case (.double, .integer(let number)):
            return Int64(exactly: Double(number)) == number
                ? .success(.real(Double(number))) : .failure(.wrongType(expected: name))
        case (.text, .text(let text)):
            return text.utf8.count <= Self.valueBytesMax ? .success(canonical) : .failure(.tooLong)
        case (.blob, .blob(let bytes)):
            return bytes.count <= Self.valueBytesMax ? .success(canonical) : .failure(.tooLong)
        case (.bool, .integer(let number)):
            return number == 0 || number == 1 ? .success(canonical) : .failure(.wrongType(expected: name))
        case (.date, .text(let text)):
            return CalendarDate(text) == nil ? .failure(.notADate) : .success(canonical)
        case (.set, .text(let text)):
            guard let set = ValueSet(json: text) else { return .failure(.notASet) }
            return .success(.text(set.json))
        case (.enumeration(let words), .text(let text)):
            return words.contains { $0.utf8.elementsEqual(text.utf8) }
                ? .success(canonical) : .failure(.notInEnumeration(words))
        case (.reference, .text(let text)):
            return RecordID(text) == nil ? .failure(.notAnID) : .success(canonical)
        default: return .failure(.wrongType(expected: name))
        }
    }
}

/// Why a value cannot be stored in a field.
public enum ValueError: Error, Hashable, Sendable, CustomStringConvertible {
    case notANumber, nulInText, invalidUTF8, notADate, notASet, notAnID, tooLong, required, overflow
    case wrongType(expected: String)
    case notInEnumeration([String])

    public var description: String {
        switch self {
        case .notANumber: "is not a number"
        case .nulInText: "has a NUL character, which cannot be stored everywhere"
        case .invalidUTF8: "is not valid UTF-8"
        case .notADate: "is not a date (YYYY-MM-DD)"
        case .notASet: "is not a list of texts"
        case .notAnID: "is not the id of a record"
        case .tooLong: "is longer than \(FieldType.valueBytesMax) bytes"
        case .required: "must not be empty"
        case .overflow: "would overflow"
        case .wrongType(let expected): "is not of type \(expected)"
        case .notInEnumeration(let words): "is not one of \(words.joined(separator: ", "))"
        }
    }
}

/// A day of the proleptic Gregorian calendar, years 0001 to 9999.
public struct CalendarDate: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let year: Int
    public let month: Int
    public let day: Int

    public init?(year: Int, month: Int, day: Int) {
        guard (1...9999).contains(year), (1...12).contains(month), day >= 1, day <= Self.days(in: month, of: year)
        else { return nil }
        self.year = year
        self.month = month
        self.day = day
    }

    /// Reads `YYYY-MM-DD` and nothing else.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count == 10, bytes[4] == 0x2D, bytes[7] == 0x2D else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            var value = 0
            for byte in bytes[range] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int(byte - 0x30)
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10) else { return nil }
        self.init(year: year, month: month, day: day)
    }

    static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01 (Howard Hinnant, *chrono-Compatible Low-Level Date Algorithms*).
    public var daysSince1970: Int {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yoe = y - era * 400
        let doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy
        return era * 146_097 + doe - 719_468
    }

    public init?(daysSince1970 days: Int) {
        guard (-719_162...2_932_896).contains(days) else { return nil }
        let z = days + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let doe = z - era * 146_097
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100)
        let mp = (5 * doy + 2) / 153
        let day = doy - (153 * mp + 2) / 5 + 1
        let month = mp < 10 ? mp + 3 : mp - 9
        self.init(year: yoe + era * 400 + (month <= 2 ? 1 : 0), month: month, day: day)
    }

    public var description: String {
        func pad(_ number: Int, _ width: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))"
    }

    public static func < (left: Self, right: Self) -> Bool { left.daysSince1970 < right.daysSince1970 }
}

/// An amount in integer minor units with its ISO 4217 code.
public struct Money: Hashable, Sendable {
    public var minorUnits: Int64
    public var currency: String

    public init?(minorUnits: Int64, currency: String) {
        guard currency.utf8.count == 3, currency.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) else { return nil }
        self.minorUnits = minorUnits
        self.currency = currency
    }
}

/// A set of texts, kept sorted by bytes and without repeats, with one JSON form.
public struct ValueSet: Hashable, Sendable {
    public let elements: [String]

    public init(_ elements: some Sequence<String>) {
        let sorted = elements.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var unique: [String] = []
        for element in sorted {
            if let last = unique.last, last.utf8.elementsEqual(element.utf8) { continue }
            unique.append(element)
        }
        self.elements = unique
    }

    /// Reads a JSON array of strings; nil for anything else.
    public init?(json: String) {
        guard case .array(let items)? = try? JSON(parsing: json) else { return nil }
        var texts: [String] = []
        for item in items {
            guard case .string(let text) = item, !text.utf8.contains(0) else { return nil }
            texts.append(text)
        }
        self.init(texts)
    }

    public var json: String { JSON.array(elements.map { .string($0) }).text }

    public static func == (left: Self, right: Self) -> Bool {
        left.elements.elementsEqual(right.elements) { $0.utf8.elementsEqual($1.utf8) }
    }
}
