import PeykModel
import PeykReplica
import PeykSQLite
import PeykSession
import PeykSync

extension ReplicaError {
    /// ``description`` in Persian: what happened, what is safe, what to do next.
    var persian: String {
        switch self {
        case .notFound(let path): "در \(path) نسخه‌ای نیست. نخست با «peyk join» به یک فضای کاری بپیوندید."
        case .alreadyExists(let path): "در \(path) نسخه‌ای هست. نخست آن را ترک کنید یا پوشهٔ دیگری برگزینید."
        case .notAReplica(let path, let reason): "\(path) باز نشد: \(reason). چیزی تغییر نکرد."
        case .unknownTable(let name): "جدولی به نام «\(name)» نیست."
        case .unknownField(let table, let field): "جدول \(table) فیلدی به نام «\(field)» ندارد."
        case .unknownRecord(let table, let record): "\(table) با شناسهٔ \(record) نیست."
        case .ambiguousRecord(let table, let prefix, let count):
            "«\(prefix)» به \(count) رکورد \(table) می‌خورد. شناسهٔ کامل‌تری بدهید."
        case .invalidValue(let table, let field, let problem): "چیزی ذخیره نشد: \(table).\(field) \(problem.persian)."
        case .refusedBySQLite(let table, let problem): "چیزی در \(table) ذخیره نشد: \(problem)."
        case .notUnique(let table, let fields, let existing):
            "چیزی ذخیره نشد: \(table) دیگری (\(existing)) همین \(fields.joined(separator: " و ")) را دارد."
        case .missingReference(let table, let record, let field, let target):
            "چیزی ذخیره نشد: \(field) در \(table) \(record) به \(target)ی اشاره دارد که نیست."
        case .stillReferred(let table, let record, let by):
            "چیزی حذف نشد: \(by) هنوز به \(table) \(record) اشاره دارد."
        case .appendOnly(let table, let record):
            "چیزی ذخیره نشد: رکوردهای \(table) افزوده می‌شوند و تغییر نمی‌کنند (\(record))."
        case .retiredTable(let table): "چیزی ذخیره نشد: جدول \(table) دیگر رکورد و مقدار تازه نمی‌پذیرد."
        case .retiredField(let table, let field): "چیزی ذخیره نشد: \(table).\(field) دیگر مقدار تازه نمی‌پذیرد."
        case .serverOnly(let table, let field): "چیزی ذخیره نشد: \(table).\(field) را تنها سرور می‌نویسد."
        case .recordAtFault(let table, let record):
            "چیزی ذخیره نشد: \(table) \(record) نخست باید از سرور گرفته شود. همگام‌سازی کنید و دوباره تلاش کنید."
        case .commitTooLarge(let bytes, let limit):
            "چیزی ذخیره نشد: تغییر \(bytes) بایت است، بیش از حد \(limit). آن را به چند بخش بشکنید."
        case .readOnly: "نسخه تنها برای خواندن باز شده است."
        case .invalidSchema(let problem): "طرح داده پذیرفتنی نیست: \(problem). داده‌ها همان‌اند که بودند."
        case .unknownCommit(let id): "ثبت \(id) در این نسخه نیست."
        case .unknownIssue(let id): "تغییر کنارگذاشتهٔ \(id) نیست."
        case .builtUpon(let table, let record, let field):
            "چیزی برگردانده نشد: \(field) در \(table) \(record) مقدار تازه‌تری دارد. با ‎--force روی آن بنویسید."
        case .cannotUndo(let reason): "چیزی برگردانده نشد: \(reason)."
        case .busy: "برنامهٔ دیگری با این نسخه کار می‌کند. چیزی تغییر نکرد؛ کمی بعد دوباره تلاش کنید."
        case .damaged(let what):
            "نسخه آسیب دیده است: \(what). رونوشتی نگه دارید و «peyk verify --repair» را اجرا کنید. "
                + "اگر نشد، دعوت تازه‌ای بگیرید و در پوشهٔ دیگری (‎--home) بپیوندید."
        case .broken(let what): "داده با قاعده‌ای نمی‌خواند: \(what). چیزی تغییر نکرد."
        case .sqlite(let error):
            error.isDiskFull
                ? "دیسک پر است. چیزی آسیب ندید؛ جا باز کنید و دوباره تلاش کنید."
                : error.isBusy ? Self.busy("").persian : error.description
        }
    }
}

extension ValueError {
    fileprivate var persian: String {
        switch self {
        case .notANumber: "عدد نیست"
        case .nulInText: "نویسهٔ NUL دارد که همه‌جا ذخیره نمی‌شود"
        case .invalidUTF8: "UTF-8 درست نیست"
        case .notADate: "تاریخ نیست (YYYY-MM-DD)"
        case .notASet: "فهرستی از متن‌ها نیست"
        case .notAnID: "شناسهٔ رکورد نیست"
        case .tooLong: "بلندتر از \(FieldType.valueBytesMax) بایت است"
        case .required: "نباید خالی باشد"
        case .overflow: "از اندازه بیرون می‌رود"
        case .wrongType(let expected): "از نوع \(expected) نیست"
        case .notInEnumeration(let words): "هیچ‌یک از این‌ها نیست: \(words.joined(separator: "، "))"
        }
    }
}

extension SyncFailure {
    /// What it means for the person, in Persian, with the server's own words where it refused.
    var persian: String {
        let later = retryAfter.map { " \($0) ثانیه دیگر دوباره تلاش کنید." } ?? ""
        let words = refusal == nil ? "" : " (\(description))"
        switch refusal {
        case .fork?:
            return "این نسخه تاریخچهٔ دیگری از فضای کاری را دنبال کرده است. چیزی تغییر نکرد؛ "
                + "بخش فناوری تصمیم می‌گیرد کدام می‌ماند.\(words)"
        case .rolledBack?:
            return "سرور عقب‌تر از این نسخه است؛ گویا پروندهٔ کهنه‌ای بی «peykd restore» به جای آن گذاشته‌اند. "
                + "چیزی از دست نرفت؛ به بخش فناوری بگویید.\(words)"
        default: break
        }
        return switch kind {
        case .unreachable: "سرور در دسترس نیست. هرچه نوشته‌اید محفوظ است و با همگام‌سازی بعدی فرستاده می‌شود."
        case .timeout: "سرور به‌موقع پاسخ نداد. هرچه نوشته‌اید محفوظ است؛ دوباره همگام‌سازی کنید."
        case .busy: "اکنون نمی‌شود: همگام‌سازی دیگری در کار است یا سرور مشغول است. چیزی از دست نرفت.\(later)"
        case .notPermitted: "سرور این دستگاه را راه نمی‌دهد. داده‌های شما همین‌جا هستند؛ از بخش فناوری بپرسید.\(words)"
        case .protocolBroken:
            "گفت‌وگو با سرور به هم خورد. چیزی از دست نرفت. اگر تکرار شد به بخش فناوری بگویید: \(description)"
        case .configuration: "تنظیم این نسخه درست نیست. چیزی تغییر نکرد: \(description)"
        case .replica: "این نسخه نتوانست کار خود را بکند. هرچه ذخیره شده محفوظ است: \(description)"
        case .diskFull:
            "دیسک این دستگاه پر است. هرچه نوشته‌اید و تاکنون همگام شده محفوظ است؛ جا باز کنید و دوباره همگام‌سازی کنید."
        case .cancelled: "همگام‌سازی متوقف شد. چیزی از دست نرفت؛ دوباره همگام‌سازی کنید."
        }
    }
}
