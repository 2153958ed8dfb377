//! [`TemplateClock`]: the time for `strftime_now`. Templates have no clock of their own, so that rendering is
//! deterministic and works without an operating system.

/// Date and time in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateClock {
    year: i64,
    /// 1 to 12.
    month: usize,
    /// 1 to 31.
    day: u64,
    /// 0 (Sunday) to 6.
    weekday: usize,
    /// 0 to 86,399.
    second_of_day: u64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const UNIX_EPOCH_DAY: i64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

impl TemplateClock {
    /// The time that is `seconds` after 1970-01-01 00:00:00 UTC.
    ///
    /// The date is computed as `civil_from_days` of Howard Hinnant ("chrono-compatible low-level date algorithms"):
    /// years begin on March 1st, so that a leap day is the last day of a year.
    pub fn from_unix(seconds: u64) -> Self {
        let unix_days = (seconds / 86_400) as i64;
        let days = unix_days + UNIX_EPOCH_DAY;
        let era = days.div_euclid(DAYS_PER_ERA);
        let day_of_era = days.rem_euclid(DAYS_PER_ERA);
        // Leap days: every 4 years (1,460 days + 1), not every 100, but every 400.
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March, by the line through the cumulated lengths 31, 61, 92, …: (153 m + 2) / 5.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u64;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as usize,
            day,
            // 1970-01-01 was a Thursday.
            weekday: (unix_days + 4).rem_euclid(7) as usize,
            second_of_day: seconds % 86_400,
        }
    }

    /// The time formatted as by Python's `strftime` in the C locale, in UTC. Fields are those of C without the weeks of
    /// ISO 8601, and the flags `-` (no padding), `_` (spaces) and `0` (zeros) of glibc.
    ///
    /// # Errors
    /// The first field that is not supported.
    pub fn strftime(&self, format: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut rest = format;
        while let Some((before, field)) = rest.split_once('%') {
            text += before;
            let flag = field.chars().next().filter(|c| "-_0".contains(*c));
            let code_at = usize::from(flag.is_some());
            // A `%` at the end is no field.
            let Some(code) = field[code_at..].chars().next() else {
                text += &format!("%{field}");
                return Ok(text);
            };
            rest = &field[code_at + code.len_utf8()..];
            let formatted = self.field(code).ok_or_else(|| format!("%{}{code}", &field[..code_at]))?;
            text += &match (flag, formatted) {
                (None, Field::Number(value, width, ' ')) => format!("{value:width$}"),
                (None | Some('0'), Field::Number(value, width, _)) => format!("{value:0width$}"),
                (Some('-'), Field::Number(value, ..)) => value.to_string(),
                (Some(_), Field::Number(value, width, _)) => format!("{value:width$}"),
                (_, Field::Text(text)) => text,
            };
        }
        Ok(text + rest)
    }

    /// One field of `strftime`; `None` if it is not supported.
    fn field(&self, code: char) -> Option<Field> {
        let number = |value: u64, width| Field::Number(value, width, '0');
        let hour = self.second_of_day / 3600;
        let (minute, second) = (self.second_of_day / 60 % 60, self.second_of_day % 60);
        let hour_of_12 = (hour + 11) % 12 + 1;
        let composed = |format: &str| self.strftime(format).ok().map(Field::Text);
        Some(match code {
            'Y' => number(self.year.unsigned_abs(), 1),
            'C' => number(self.year.unsigned_abs() / 100, 2),
            'y' => number(self.year.rem_euclid(100) as u64, 2),
            'm' => number(self.month as u64, 2),
            'B' => Field::Text(MONTHS[self.month - 1].into()),
            'b' | 'h' => Field::Text(MONTHS[self.month - 1][..3].into()),
            'd' => number(self.day, 2),
            'e' => Field::Number(self.day, 2, ' '),
            'j' => number(self.day_of_year() + 1, 3),
            'A' => Field::Text(DAYS[self.weekday].into()),
            'a' => Field::Text(DAYS[self.weekday][..3].into()),
            'w' => number(self.weekday as u64, 1),
            'u' => number((self.weekday as u64 + 6) % 7 + 1, 1),
            // Weeks that begin on Sunday, and on Monday.
            'U' => number((self.day_of_year() + 7 - self.weekday as u64) / 7, 2),
            'W' => number((self.day_of_year() + 7 - (self.weekday as u64 + 6) % 7) / 7, 2),
            'H' => number(hour, 2),
            'k' => Field::Number(hour, 2, ' '),
            'I' => number(hour_of_12, 2),
            'l' => Field::Number(hour_of_12, 2, ' '),
            'p' => Field::Text(if hour < 12 { "AM" } else { "PM" }.into()),
            'P' => Field::Text(if hour < 12 { "am" } else { "pm" }.into()),
            'M' => number(minute, 2),
            'S' => number(second, 2),
            'f' => Field::Text("000000".into()),
            // The time has no zone, as `datetime.now()` has none.
            'z' | 'Z' => Field::Text(String::new()),
            'F' => return composed("%Y-%m-%d"),
            'T' | 'X' => return composed("%H:%M:%S"),
            'D' | 'x' => return composed("%m/%d/%y"),
            'R' => return composed("%H:%M"),
            'r' => return composed("%I:%M:%S %p"),
            'c' => return composed("%a %b %e %H:%M:%S %Y"),
            'n' => Field::Text("\n".into()),
            't' => Field::Text("\t".into()),
            '%' => Field::Text("%".into()),
            _ => return None,
        })
    }

    /// Days since January 1st.
    fn day_of_year(&self) -> u64 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let february = if is_leap { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        lengths[..self.month - 1].iter().sum::<u64>() + self.day - 1
    }
}

/// A formatted field: a number with its width and padding, or text.
enum Field {
    Number(u64, usize, char),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        let all = "%A %a %d %B %b %Y %y %m %H:%M:%S %I %p %%";
        let cases = [
            (0, "Thursday Thu 01 January Jan 1970 70 01 00:00:00 12 AM %"),
            (951_782_399, "Monday Mon 28 February Feb 2000 00 02 23:59:59 11 PM %"),
            (951_782_400, "Tuesday Tue 29 February Feb 2000 00 02 00:00:00 12 AM %"),
            (4_107_542_400, "Monday Mon 01 March Mar 2100 00 03 00:00:00 12 AM %"),
            (1_735_689_599, "Tuesday Tue 31 December Dec 2024 24 12 23:59:59 11 PM %"),
        ];
        cases
            .iter()
            .for_each(|(seconds, text)| assert_eq!(TemplateClock::from_unix(*seconds).strftime(all).unwrap(), *text));
    }
}
